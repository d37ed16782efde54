import { once } from 'node:events'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { OwnHome } from '../testing/own-home.js'

const troupe = fileURLToPath(new URL('../../bin/troupe.js', import.meta.url))

test('the cluster that a program has started is looked at without an address and without a token', async (t) => {
  const home = new OwnHome(t)
  const none = await home.troupe('status')
  t.deepEqual([none.code, none.stdout], [2, ''])
  t.regex(none.stderr, /^error: no cluster of yours runs on this machine; .*--address HOST:PORT.*\n$/)
  t.is((await home.troupe('clusters')).stdout, 'no cluster of yours runs on this machine\n')

  const { child, clusterId, program } = await home.connected('parrot')
  for (const round of ['first', 'second']) {
    const { stdout, stderr, code } = await home.troupe('list', 'actors')
    t.deepEqual([code, stderr], [0, ''], round)
    t.regex(stdout, /\nparrot +Talker +alive/, 'who looks and leaves does not end the cluster')
  }
  t.is((await home.troupe('logs', 'parrot')).stdout, 'hello\n')
  t.regex((await home.troupe('stack', 'parrot')).stdout, /^parrot \(process \d+\) is idle/)
  t.is(JSON.parse((await home.troupe('status', '--json')).stdout).id, clusterId)
  const [told] = JSON.parse((await home.troupe('clusters', '--json')).stdout)
  t.like(told, { id: clusterId, program, pid: child.pid })

  const folder = join(home.folder, '.troupe', 'clusters')
  const [file] = readdirSync(folder)
  t.deepEqual(
    [folder, join(folder, file!)].map((path) => statSync(path).mode & 0o777),
    [0o700, 0o600],
  )
  const { secret } = JSON.parse(readFileSync(join(folder, file!), 'utf8'))
  t.truthy(secret)
  t.false(JSON.stringify(told).includes(secret))
  for (const pid of readdirSync('/proc').filter(Number)) {
    const shown = ['cmdline', 'environ'].map((name) => readOrNothing(`/proc/${pid}/${name}`)).join()
    t.false(shown.includes(secret), `process ${pid} shows no secret`)
  }

  child.stdin!.end()
  t.deepEqual(await once(child, 'exit'), [0, null])
  t.deepEqual(readdirSync(folder), [], 'nothing is left after an orderly end')
})

test('of several clusters one is chosen by an address that the error and `troupe clusters` tell', async (t) => {
  const home = new OwnHome(t)
  const programs = [await home.connected('jay'), await home.connected('crow')]
  const head = home.start(troupe, 'start', '--head', '--port', '0')
  const { value: listening } = await createInterface({ input: head.stdout! })[Symbol.asyncIterator]().next()
  const [, tcp] = /listening on (\S+)/.exec(listening) ?? []

  const { stderr, code } = await home.troupe('list', 'actors')
  t.is(code, 2)
  t.regex(stderr, /^error: 3 clusters of yours run on this machine; choose one by .*\n$/)
  const { stdout } = await home.troupe('clusters')
  t.regex(stdout, /^address +program +pid +since\n/)
  for (const pid of [...programs.map(({ child }) => child.pid!), head.pid!]) {
    const [, address] = new RegExp(`--address (\\S+) \\([^)]*process ${pid}, since \\d`).exec(stderr) ?? []
    t.truthy(address, stderr)
    t.regex(stdout, new RegExp(`^${address} .* ${pid} `, 'm'))
  }
  for (const [index, name] of ['jay', 'crow'].entries()) {
    const [, address] = new RegExp(`(ipc:\\S+) \\([^)]*process ${programs[index]!.child.pid},`).exec(stderr) ?? []
    const listed = await home.troupe('list', 'actors', '--address', address!)
    t.regex(listed.stdout, new RegExp(`\\n${name} `))
  }
  t.is((await home.troupe('list', 'actors', '--address', tcp!)).code, 0, 'its token is known, too')

  const gone = programs[0]!
  const [, address] = new RegExp(`(ipc:\\S+) \\([^)]*process ${gone.child.pid},`).exec(stderr) ?? []
  gone.child.stdin!.end()
  await once(gone.child, 'exit')
  const late = await home.troupe('status', '--address', address!)
  t.is(late.code, 2)
  t.regex(late.stderr, /^error: no cluster of yours runs at ipc:\S+ on this machine any more; .*\n$/)
  for (const { child } of programs.slice(1)) {
    child.stdin!.end()
    await once(child, 'exit')
  }
  head.kill('SIGTERM')
  await once(head, 'exit')
  t.deepEqual(readdirSync(join(home.folder, '.troupe', 'clusters')), [])
})

function readOrNothing(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}
