import test from 'ava'
import { type WaitingDemand, WaitReports } from './wait-reports.js'

const waiting = (driver: string, count: number, since = -1000): WaitingDemand[] =>
  Array.from({ length: count }, (_, index) => ({ what: `actor ${index}`, driver, since, missing: () => '1 cpu' }))

test('many that wait are one line a driver, which comes again ever more rarely', (t) => {
  const lines: string[] = []
  const reports = new WaitReports((message, driver) => lines.push(`${driver}: ${message}`))
  const told: number[] = []
  for (let second = 0; second < 3600; second++) {
    const before = lines.length
    reports.look([...waiting('a', 1000), ...waiting('b', second === 5 ? 1 : 0)], second * 1000)
    if (lines.slice(before).some((line) => line.startsWith('a'))) told.push(second)
  }
  t.is(lines[0], 'a: actor 0 waits for 1 cpu, and 999 others wait for resources, too')
  t.deepEqual(
    lines.filter((line) => line.startsWith('b')),
    ['b: actor 0 waits for 1 cpu'],
  )
  t.deepEqual(told.slice(0, 5), [0, 10, 30, 70, 150])
  t.true(told.length < 20, `${told.length} lines in an hour`)
})

test('what has waited for less than a second is only counted', (t) => {
  const lines: string[] = []
  const reports = new WaitReports((message) => lines.push(message))
  reports.look(waiting('a', 3, 0), 999)
  t.deepEqual(lines, [])
  reports.look([...waiting('a', 1, 0), ...waiting('a', 4, 900)], 1000)
  t.deepEqual(lines, ['actor 0 waits for 1 cpu, and 4 others wait for resources, too'])
})

test('demands that wait now and then do not bring a line each', (t) => {
  const lines: string[] = []
  const reports = new WaitReports((message) => lines.push(message))
  for (let second = 0; second < 60; second++) reports.look(waiting('a', second % 2), second * 1000)
  t.true(lines.length > 1 && lines.length <= 6, `${lines.length} lines`)
})
