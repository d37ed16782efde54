import test from 'ava'
import { strftime } from './strftime.js'

test('a date is written as the C locale of Python writes it', (t) => {
  const date = new Date(2024, 6, 5, 15, 4, 9)
  t.is(strftime(date, '%d %b %Y, %A %-d %B %y'), '05 Jul 2024, Friday 5 July 24')
  t.is(
    strftime(date, '%Y-%m-%d %H:%M:%S %I%p %j %a %w %% %F %T'),
    '2024-07-05 15:04:09 03PM 187 Fri 5 % 2024-07-05 15:04:09',
  )
  t.is(strftime(new Date(2023, 11, 31), '%j %Q'), '365 %Q')
})
