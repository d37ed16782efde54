import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { commands } from './main.js'
import { OwnHome } from './testing/own-home.js'

const troupe = fileURLToPath(new URL('../bin/troupe.js', import.meta.url))
const stories = fileURLToPath(new URL('../../../test/models/stories260k', import.meta.url))
const tales = fileURLToPath(new URL('../../../models/tales', import.meta.url))

/** Runs the command with a reader behind a pipe, and returns the command's own status and standard error. */
async function piped(home: OwnHome, args: string[], reader: string): Promise<{ status: string; stderr: string }> {
  const { TROUPE_TOKEN: _, ...others } = process.env
  const script = `{ "$@" 4>&-; echo $? >&4; } | ${reader} >/dev/null 4>&-`
  const child = spawn('sh', ['-c', script, 'sh', process.execPath, troupe, ...args], {
    stdio: ['pipe', 'ignore', 'pipe', 'ignore', 'pipe'],
    env: { ...others, HOME: home.folder },
  })
  // Most commands read none of it.
  child.stdin!.on('error', () => {}).end('Hello\n')
  const [stderr, status] = await Promise.all([
    text(child.stderr!),
    text(child.stdio[4] as NodeJS.ReadableStream),
    once(child, 'exit'),
  ])
  return { status: status.trim(), stderr }
}

test('every command ends quietly when its reader closes the pipe', async (t) => {
  const home = new OwnHome(t)
  const { child } = await home.connected('parrot')
  const write = (name: string, content: string) => {
    const file = join(home.folder, name)
    writeFileSync(file, content)
    return file
  }
  const link = { latencyUs: 5, bandwidthGBps: 20 }
  const formats = { f32: { tflops: 1 }, f16: { tflops: 1 }, bf16: { tflops: 1 } }
  const node = { name: 'host', devices: 1, memoryGB: 8, bandwidthGBps: 20, formats, link }
  const described = write('cluster.json', JSON.stringify({ nodes: [node] }))
  const words = write('words.txt', 'Once upon a time there was a small bird.')
  const talkative = join(home.folder, 'talkative')
  cpSync(stories, talkative, { recursive: true })
  writeFileSync(join(talkative, 'chat_template.jinja'), '{{ messages[0].content }}')
  const runs: Record<string, string[]> = {
    generate: ['--model', tales, '--max-tokens', '16', '--temperature', '0', '--json', '--prompt', 'Once'],
    perplexity: ['--model', tales, '--text', words, '--max-tokens', '8'],
    chat: [talkative, '--max-tokens', '8'],
    plan: [tales, '--cluster', described],
    pull: [tales],
    devices: [],
    serve: [tales, '--port', '0'],
    start: ['--head', '--port', '0'],
    clusters: [],
    status: [],
    list: ['actors'],
    logs: ['parrot'],
    stack: ['parrot'],
  }
  t.deepEqual(
    commands.map(({ name }) => name).sort(),
    Object.keys(runs).sort(),
    'a new command has a row here: arguments with which it prints something',
  )
  const gone = ':'
  const cases: [string[], string][] = [
    ...Object.entries(runs).map(([name, args]): [string[], string] => [[name, ...args], gone]),
    [['generate', '--help'], gone],
    [['--help'], 'head -n 1'],
    [['list', 'actors'], 'head -n 1'],
  ]
  for (const [args, reader] of cases) {
    t.deepEqual(await piped(home, args, reader), { status: '0', stderr: '' }, `troupe ${args.join(' ')} | ${reader}`)
  }
  // Its table is on standard error.
  const streamed = await piped(home, ['generate', ...runs.generate!.filter((arg) => arg !== '--json')], 'head -c 1')
  t.is(streamed.status, '0')
  t.notRegex(streamed.stderr, /error|EPIPE|^ +at /im)
  t.is((await home.troupe('clusters')).stdout.trim().split('\n').length, 2, 'no head is left behind')
  child.stdin!.end()
  await once(child, 'exit')
})
