import { parseArgs } from 'node:util'
import { InvalidInputError } from '@troupe/core'
import type { Command, Option, Options, Values } from './command.js'

/**
 * Reads a command's arguments.
 *
 * @returns the options' values, or `help` if that was asked for
 * @throws InvalidInputError naming an unknown option, an argument too many, or a value that is no number in range
 */
export function readArguments(command: Command, args: string[]): Values<Options> | 'help' {
  const parsed = parse(command, args)
  if (parsed.help) return 'help'
  const entries = Object.entries(command.options).map(([name, option]) => [name, readValue(name, option, parsed[name])])
  return Object.fromEntries(entries)
}

function parse({ name, options }: Command, args: string[]): Record<string, string | boolean | undefined> {
  const types = Object.entries(options).map(([option, { type }]) => {
    return [option, { type: type === 'boolean' ? 'boolean' : 'string' }] as const
  })
  try {
    const { values } = parseArgs({
      args: joinNegativeNumbers(args, options),
      options: { ...Object.fromEntries(types), help: { type: 'boolean', short: 'h' } },
      strict: true,
      allowPositionals: false,
    })
    return values as Record<string, string | boolean | undefined>
  } catch (error) {
    const [first] = (error as Error).message.split(/\. |\n/)
    throw new InvalidInputError(`${first?.replace(/\.$/, '')}; see \`troupe ${name} --help\``)
  }
}

/** `--seed -1` would be read as two options, so the value is joined to its option. */
function joinNegativeNumbers(args: string[], options: Options): string[] {
  const joined: string[] = []
  for (const arg of args) {
    const last = joined.at(-1)
    const option = last?.startsWith('--') ? options[last.slice(2)] : undefined
    if (option && option.type !== 'boolean' && /^-\d/.test(arg)) joined[joined.length - 1] = `${last}=${arg}`
    else joined.push(arg)
  }
  return joined
}

function readValue(
  name: string,
  option: Option,
  given: string | boolean | undefined,
): string | number | boolean | undefined {
  if (option.type === 'boolean') return given === true
  if (given === undefined) return option.default
  if (option.type === 'string') return String(given)
  const { type, min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = option
  const number = given === '' ? Number.NaN : Number(given)
  const isRight = Number.isFinite(number) && (type === 'number' || Number.isSafeInteger(number))
  if (!isRight || number < min || number > max) {
    throw new InvalidInputError(
      `--${name} must be ${describe(type, option.min, option.max)}, found ${JSON.stringify(given)}`,
    )
  }
  return number
}

function describe(type: 'integer' | 'number', min: number | undefined, max: number | undefined): string {
  const kind = type === 'integer' ? 'an integer' : 'a number'
  if (min !== undefined && max !== undefined) return `${kind} from ${min} to ${max}`
  if (min !== undefined) return `${kind} of at least ${min}`
  return max === undefined ? kind : `${kind} of at most ${max}`
}
