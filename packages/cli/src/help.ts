import type { Command, Option } from './command.js'

/** The text of `troupe --help`. */
export function generalHelp(commands: readonly Command[]): string {
  const rows = commands.map(({ name, argument, summary }): [string, string] => [usage(name, argument), summary])
  return [
    'Usage: troupe COMMAND [OPTIONS]',
    '',
    ...table(rows),
    '',
    'troupe COMMAND --help, or troupe help COMMAND, explains the options of a command; troupe --version tells the version.',
  ].join('\n')
}

/** The text of `troupe COMMAND --help`. */
export function commandHelp({ name, argument, summary, description, options }: Command): string {
  const rows = Object.entries(options).map(([option, details]): [string, string] => [
    `--${option}${valueName(details)}`,
    `${details.help}${defaultNote(details)}`,
  ])
  return [
    `Usage: ${usage(name, argument)} [OPTIONS]`,
    '',
    `${summary}.`,
    ...(description ? ['', description] : []),
    '',
    ...table([...rows, ['--help', 'show this']]),
  ].join('\n')
}

function usage(name: string, argument: string | undefined): string {
  return `troupe ${name}${argument ? ` ${argument}` : ''}`
}

function valueName({ type, placeholder }: Option): string {
  if (type === 'boolean') return ''
  return ` ${placeholder ?? (type === 'string' ? 'TEXT' : 'N')}`
}

function defaultNote(option: Option): string {
  return option.type === 'boolean' || option.default === undefined ? '' : ` (default ${option.default})`
}

function table(rows: [string, string][]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)
}
