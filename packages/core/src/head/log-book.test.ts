import test from 'ava'
import { LogBook } from './log-book.js'

function record(driver?: string) {
  const printed: string[] = []
  const book = new LogBook((line) => printed.push(line))
  const take = (name: string, line: string) => book.take({ name, driver, prefix: `${name}: ` }, line)
  return { printed, book, take }
}

/** Resolves when the counts of lines that repeat have been told. */
async function told(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 1100))
}

test('a burst of the same line is printed once, with how often it came', (t) => {
  const { printed, book, take } = record()
  for (const line of ['start', 'same', 'same', 'same', 'end']) take('a', line)
  t.deepEqual(printed, ['a: start', 'a: same', 'a: (the line before came 2 more times)', 'a: end'])
  t.deepEqual(book.lines('a'), ['start', 'same', 'same', 'same', 'end'])
})

test('a line that many actors write at a time is printed once, with who else wrote it', async (t) => {
  const { printed, book, take } = record('driver')
  for (const name of ['a', 'b', 'c', 'c', 'd', 'e']) take(name, 'same')
  take('b', 'another')
  t.deepEqual(printed, ['a: same', 'b: another'])
  await told()
  t.deepEqual(printed.slice(2), ['a: same (came 5 more times, from b, c, d and 1 more)'])
  t.deepEqual(book.lines('c'), ['same', 'same'])
  take('c', 'same')
  t.is(printed.at(-1), 'c: same', 'later it is news again')
})

test('lines for different drivers do not fold into each other', (t) => {
  const printed: (string | undefined)[] = []
  const book = new LogBook((_, driver) => printed.push(driver))
  for (const driver of ['x', 'y']) book.take({ name: driver, driver, prefix: '' }, 'same')
  t.deepEqual(printed, ['x', 'y'])
})

test('a flood is cut off, and only the latest lines are kept', (t) => {
  const { printed, book, take } = record()
  for (let line = 0; line < 7000; line++) take('a', String(line))
  t.is(printed.length, 5000)
  t.is(book.lines('a').length, 1000)
  t.is(book.lines('a').at(-1), '6999')
  t.deepEqual(book.lines('absent'), [])
})
