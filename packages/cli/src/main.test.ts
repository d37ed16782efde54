import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const troupe = fileURLToPath(new URL('../bin/troupe.js', import.meta.url))
const tales = fileURLToPath(new URL('../../../models/tales', import.meta.url))

/** Runs the command with some standard input. */
async function run(args: string[], input = ''): Promise<{ stdout: string; stderr: string; code: number }> {
  const child = spawn(process.execPath, [troupe, ...args])
  child.stdin.end(input)
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { stdout, stderr, code }
}

test('help and the version are found under the names that other commands have for them', async (t) => {
  const { stdout: help } = await run(['--help'])
  t.regex(help, /^Usage: troupe COMMAND/)
  for (const args of [['-h'], ['help'], []]) t.is((await run(args)).stdout, help)
  const { stdout: generate } = await run(['generate', '--help'])
  t.regex(generate, /^Usage: troupe generate/)
  for (const args of [
    ['help', 'generate'],
    ['generate', '-h'],
  ])
    t.is((await run(args)).stdout, generate)
  for (const args of [['-v'], ['--version']]) t.regex((await run(args)).stdout, /^\d+\.\d+\.\d+\n$/)
  const unknown = await run(['help', 'nothing'])
  t.is(unknown.code, 2)
  t.regex(unknown.stderr, /^error: expected a command \(generate, .*found nothing/)
})

test('generate reads a prompt from standard input and writes nothing but the text to standard output', async (t) => {
  const common = ['--model', tales, '--max-tokens', '8', '--temperature', '0']
  const given = await run(['generate', ...common, '--prompt', 'Once upon a time'])
  const piped = await run(['generate', ...common, '--prompt', '-'], 'Once upon a time')
  t.is(piped.stdout, given.stdout)
  t.regex(piped.stdout, /^Once upon a time, .*\n$/)
  t.regex(piped.stderr, /pipeline +tensor[\s\S]*prefill \d+ tokens\/s/)
})
