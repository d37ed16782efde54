import { readFileSync } from 'node:fs'
import { InvalidInputError } from '@troupe/core'
import { readArguments } from './arguments.js'
import type { Command } from './command.js'
import { chat } from './commands/chat.js'
import { clusters } from './commands/clusters.js'
import { devices } from './commands/devices.js'
import { generate } from './commands/generate.js'
import { list } from './commands/list.js'
import { logs } from './commands/logs.js'
import { perplexity } from './commands/perplexity.js'
import { plan } from './commands/plan.js'
import { pull } from './commands/pull.js'
import { serve } from './commands/serve.js'
import { stack } from './commands/stack.js'
import { start } from './commands/start.js'
import { status } from './commands/status.js'
import { commandHelp, generalHelp } from './help.js'
import { endWithReader } from './signals.js'

/** Every command of `troupe`; a new one is a file in commands/ and a line here. */
export const commands: readonly Command[] = [
  generate,
  chat,
  perplexity,
  plan,
  pull,
  devices,
  serve,
  start,
  clusters,
  status,
  list,
  logs,
  stack,
]

/**
 * Runs the command that the arguments name. Sets the exit status: 2 with one line on stderr for what the user can
 * correct, 1 for other failures; TROUPE_DEBUG=1 adds the stack.
 */
export async function main([name, ...args]: string[]): Promise<void> {
  endWithReader()
  try {
    await run(name, args)
  } catch (error) {
    process.exitCode = error instanceof InvalidInputError ? 2 : 1
    process.stderr.write(`error: ${messageOf(error)}\n`)
    if (process.env.TROUPE_DEBUG === '1' && error instanceof Error) process.stderr.write(`${error.stack}\n`)
  }
}

async function run(name: string | undefined, args: string[]): Promise<void> {
  if (name === 'help' && args.length > 0) {
    process.stdout.write(`${commandHelp(commandNamed(args[0]!))}\n`)
    return
  }
  if (name === undefined || ['help', '--help', '-h'].includes(name)) {
    process.stdout.write(`${generalHelp(commands)}\n`)
    return
  }
  if (name === '--version' || name === '-v') {
    process.stdout.write(`${version()}\n`)
    return
  }
  const command = commandNamed(name)
  const [argument, options] = splitArgument(command, args)
  const values = readArguments(command, options)
  if (values === 'help') process.stdout.write(`${commandHelp(command)}\n`)
  else await command.run(values, argument)
}

function commandNamed(name: string): Command {
  const command = commands.find((candidate) => candidate.name === name)
  if (command) return command
  const known = commands.map((candidate) => candidate.name).join(', ')
  throw new InvalidInputError(`expected a command (${known}), found ${name}; see \`troupe --help\``)
}

/** The version of this package. */
function version(): string {
  const file = new URL('../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

/** A command's own argument comes before its options. */
function splitArgument(command: Command, args: string[]): [argument: string | undefined, options: string[]] {
  const [first, ...rest] = args
  const isOwn = command.argument !== undefined && first !== undefined && !first.startsWith('-')
  return isOwn ? [first, rest] : [undefined, args]
}

function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error)
  return text.split('\n')[0]!
}
