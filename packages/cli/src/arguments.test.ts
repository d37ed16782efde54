import { InvalidInputError } from '@troupe/core'
import test from 'ava'
import { readArguments } from './arguments.js'
import { command } from './command.js'
import { commandHelp } from './help.js'

const example = command({
  name: 'example',
  summary: 'Show how options are read',
  options: {
    loud: { type: 'boolean', help: 'shout' },
    title: { type: 'string', placeholder: 'TITLE', help: 'what to call it' },
    count: { type: 'integer', min: 1, max: 9, default: 3, help: 'how many' },
    heat: { type: 'number', min: 0, help: 'how hot' },
  },
  async run() {},
})

test('options have the types and defaults that the command declares', (t) => {
  t.deepEqual(readArguments(example, []), { loud: false, title: undefined, count: 3, heat: undefined })
  const given = readArguments(example, ['--loud', '--title', 'x', '--count=9', '--heat', '0.5'])
  t.deepEqual(given, { loud: true, title: 'x', count: 9, heat: 0.5 })
})

test('a value that is no number in range is refused in one line', (t) => {
  const refused: [string[], string][] = [
    [['--count', 'two'], '--count must be an integer from 1 to 9, found "two"'],
    [['--count', '1.5'], '--count must be an integer from 1 to 9, found "1.5"'],
    [['--count', '0'], '--count must be an integer from 1 to 9, found "0"'],
    [['--count='], '--count must be an integer from 1 to 9, found ""'],
    [['--heat', '-1'], '--heat must be a number of at least 0, found "-1"'],
  ]
  for (const [args, message] of refused) {
    t.throws(() => readArguments(example, args), { instanceOf: InvalidInputError, message })
  }
})

test('an unknown option, a missing value and an argument too many are refused', (t) => {
  for (const args of [['--colour'], ['--title'], ['extra'], ['--loud=yes']]) {
    const error = t.throws(() => readArguments(example, args), { instanceOf: InvalidInputError })
    t.false(error.message.includes('\n'))
    t.regex(error.message, /see `troupe example --help`$/)
  }
})

test('help is generated from the options', (t) => {
  t.is(readArguments(example, ['--help']), 'help')
  t.is(
    commandHelp(example),
    [
      'Usage: troupe example [OPTIONS]',
      '',
      'Show how options are read.',
      '',
      '  --loud         shout',
      '  --title TITLE  what to call it',
      '  --count N      how many (default 3)',
      '  --heat N       how hot',
      '  --help         show this',
    ].join('\n'),
  )
})
