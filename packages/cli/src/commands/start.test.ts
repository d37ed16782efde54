import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { connect } from '@troupe/core'
import test, { type ExecutionContext } from 'ava'

const troupe = fileURLToPath(new URL('../../bin/troupe.js', import.meta.url))

interface Run {
  child: ChildProcess
  line(): Promise<string>
  ended: Promise<{ code: number | string; errors: string }>
}

function run(t: ExecutionContext, ...args: string[]): Run {
  return runWith(t, process.env, ...args)
}

function runWith(t: ExecutionContext, env: NodeJS.ProcessEnv, ...args: string[]): Run {
  const child = spawn(process.execPath, [troupe, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env })
  t.teardown(() => child.kill('SIGKILL'))
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = once(child, 'close').then(([code, signal]) => ({ code: signal ?? code, errors }))
  return { child, ended, line: async () => (await lines.next()).value }
}

test.serial('a head and a node make a cluster, and end when they are told to', async (t) => {
  const head = run(t, 'start', '--head', '--port', '0')
  const listening = await head.line()
  const [, address] =
    /^troupe head listening on (127\.0\.0\.1:\d+) - join with: troupe start --join \1$/.exec(listening) ?? []
  t.truthy(address, listening)
  const node = run(t, 'start', '--join', address!, '--resources', 'licence=2', '--labels', 'zone=b')
  t.is(await node.line(), `troupe node joined ${address}`)

  const cluster = await connect({ address: address! })
  t.deepEqual(
    (await cluster.nodes()).map(({ pid }) => pid),
    [head.child.pid, node.child.pid],
  )
  const [, joined] = await cluster.nodes()
  t.like(joined, { labels: { zone: 'b' }, free: { licence: 2 } })
  await cluster.shutdown()

  node.child.kill('SIGTERM')
  t.deepEqual(await node.ended, { code: 0, errors: '' })

  const second = run(t, 'start', '--head', '--port', address!.split(':')[1]!)
  const inUse = await second.ended
  t.is(inUse.code, 2)
  t.regex(inUse.errors, /^error: port \d+ is in use on 127\.0\.0\.1; choose another one or stop what listens there\n$/)

  const orphan = run(t, 'start', '--join', address!)
  await orphan.line()
  head.child.kill('SIGINT')
  t.deepEqual(await head.ended, { code: 0, errors: '' })
  t.deepEqual(await orphan.ended, { code: 1, errors: `error: the head at ${address} has gone\n` })

  const lost = await run(t, 'start', '--join', address!).ended
  t.is(lost.code, 2)
  t.regex(
    lost.errors,
    /^error: no Troupe head answers at 127\.0\.0\.1:\d+ within 5 s; start one with `troupe start --head --port \d+`\n$/,
  )
})

test.serial('a head makes up a token and says where it is, and who has another one is told so', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(home, { recursive: true }))
  const { TROUPE_TOKEN: _, ...others } = process.env
  const head = runWith(t, { ...others, HOME: home }, 'start', '--head', '--port', '0')
  const [, address] = /listening on (\S+)/.exec(await head.line()) ?? []
  const file = join(home, '.troupe', 'token')
  t.is(await head.line(), `who joins needs the token in ${file}`)
  const node = runWith(t, { ...others, TROUPE_TOKEN: readFileSync(file, 'utf8') }, 'start', '--join', address!)
  t.is(await node.line(), `troupe node joined ${address}`)
  const refused = runWith(t, { ...others, TROUPE_TOKEN: 'that of another head' }, 'status', '--address', address!)
  const { code, errors } = await refused.ended
  t.is(code, 2)
  t.regex(errors, /^error: the head at 127\.0\.0\.1:\d+ does not accept this token; set TROUPE_TOKEN .*\n$/)
  node.child.kill('SIGTERM')
  await node.ended
  head.child.kill('SIGTERM')
  t.is((await head.ended).code, 0)
})

test('bad arguments end with one line and status 2', async (t) => {
  const refused: [string[], RegExp][] = [
    [['dance'], /^error: expected a command \(.*start.*\), found dance; see `troupe --help`\n$/],
    [['start'], /^error: expected either --head or --join HOST:PORT; see `troupe start --help`\n$/],
    [['start', '--head', '--port', '99999'], /^error: --port must be an integer from 0 to 65535, found "99999"\n$/],
    [
      ['start', '--head', '--host', '203.0.113.7'],
      /^error: 203\.0\.113\.7 is no address of this machine; give one of its own\n$/,
    ],
    [
      ['start', '--head', '--resources', 'cpu=x'],
      /^error: --resources must give cpu a number of at least 0, found "x"\n$/,
    ],
    [['start', '--head', '--labels', 'zone'], /^error: --labels must be NAME=VALUE joined by commas, found "zone"\n$/],
    [['serve'], /^error: expected a model: troupe serve MODEL; see `troupe serve --help`\n$/],
    [['serve', 'm', '--port', '-1'], /^error: --port must be an integer from 0 to 65535, found "-1"\n$/],
    [['serve', 'm', '--max-queue', '0'], /^error: --max-queue must be an integer of at least 1, found "0"\n$/],
    [['start', '--join', 'nowhere'], /^error: expected an address as HOST:PORT, found "nowhere"\n$/],
  ]
  for (const [args, message] of refused) {
    const { code, errors } = await run(t, ...args).ended
    t.is(code, 2, args.join(' '))
    t.regex(errors, message)
  }
})
