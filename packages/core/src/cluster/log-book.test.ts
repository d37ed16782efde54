import test from 'ava'
import { LogBook } from './log-book.js'

function record() {
  const printed: string[] = []
  const book = new LogBook((name, line) => printed.push(`${name}: ${line}`))
  return { printed, book }
}

test('a burst of the same line is printed once, with how often it came', (t) => {
  const { printed, book } = record()
  for (const line of ['start', 'same', 'same', 'same', 'end']) book.take('a', line, undefined)
  t.deepEqual(printed, ['a: start', 'a: same', 'a: (the line before came 2 more times)', 'a: end'])
  t.deepEqual(book.lines('a'), ['start', 'same', 'same', 'same', 'end'])
})

test('lines of two actors do not fold into each other', (t) => {
  const { printed, book } = record()
  for (const name of ['a', 'b', 'a']) book.take(name, 'same', undefined)
  t.deepEqual(printed, ['a: same', 'b: same'])
})

test('a flood is cut off, and only the latest lines are kept', (t) => {
  const { printed, book } = record()
  for (let line = 0; line < 7000; line++) book.take('a', String(line), undefined)
  t.is(printed.length, 5000)
  t.is(book.lines('a').length, 1000)
  t.is(book.lines('a').at(-1), '6999')
  t.deepEqual(book.lines('absent'), [])
})
