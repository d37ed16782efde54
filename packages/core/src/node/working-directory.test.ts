import { mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { DirectoryStore } from '../head/directory-store.js'
import { joinHead, startHead } from '../head/index.js'
import { connect, type Handle, InvalidInputError, type RemoteClass, type RemoteFunction } from '../index.js'
import { run } from '../testing/programs.js'
import { temporaryFolder } from '../testing/temporary.js'

/** What the modules below tell of where they run. */
interface Seen {
  readonly text: string
  readonly data: string
  readonly url: string
  readonly cwd: string
}

interface Reader {
  read(): Seen
  spawnIn(zone: string): Promise<Handle<Reader>>
}

interface ReaderModule {
  readonly RemoteReader: RemoteClass<new () => Reader>
  readonly remoteRead: RemoteFunction<() => Seen>
}

const files = {
  'package.json': '{ "type": "module" }',
  'lib/text.js': "export const text = 'first'\n",
  'data.txt': 'data beside it',
  '.troupeignore': '*.secret\n',
  'key.secret': 'not sent',
  'reader.js': `
    import { readdirSync, readFileSync } from 'node:fs'
    import { actor, remote } from '@troupe/core'
    import { text } from './lib/text.js'
    export function read() {
      const names = readdirSync('.').join(' ')
      return { text, names, data: readFileSync('data.txt', 'utf8'), url: import.meta.url, cwd: process.cwd() }
    }
    export class Reader {
      read() { return read() }
      spawnIn(zone) { return RemoteReader.options({ labels: { zone } }).spawn() }
    }
    export const RemoteReader = actor(import.meta.url, Reader)
    export const remoteRead = remote(import.meta.url, read)
  `,
}

/** A project with the files above, and packages that are not sent. */
function project(t: ExecutionContext): string {
  const folder = temporaryFolder(t, files)
  mkdirSync(join(folder, 'node_modules', '@troupe'), { recursive: true })
  symlinkSync(fileURLToPath(new URL('../..', import.meta.url)), join(folder, 'node_modules', '@troupe', 'core'))
  return folder
}

/** Counts how many directories a head in this process takes in. */
function countSent(t: ExecutionContext): () => number {
  const { finish } = DirectoryStore.prototype
  let sent = 0
  DirectoryStore.prototype.finish = function (...args) {
    sent += 1
    return finish.apply(this, args)
  }
  t.teardown(() => {
    DirectoryStore.prototype.finish = finish
  })
  return () => sent
}

function ownFolders(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith('troupe-code-') && name.includes(`-${process.pid}-`))
}

test.serial('code runs on nodes that lack it, from a copy, however an actor is isolated', async (t) => {
  const folder = project(t)
  const head = await startHead({ host: '127.0.0.1', port: 0 }, { labels: { zone: 'a' } })
  const node = await joinHead(head.address, '127.0.0.1', { labels: { zone: 'b' } })
  const cluster = await connect({ address: head.address, workingDirectory: folder })
  const { RemoteReader, remoteRead } = (await import(pathToFileURL(join(folder, 'reader.js')).href)) as ReaderModule
  renameSync(folder, `${folder}-gone`)
  try {
    const seen: Seen[] = []
    for (const isolation of ['process', 'thread'] as const) {
      for (const zone of ['a', 'b']) {
        const reader = await RemoteReader.options({ isolation, labels: { zone } }).spawn()
        seen.push(await reader.read())
        const other = await reader.spawnIn(zone === 'a' ? 'b' : 'a')
        seen.push(await other.read())
      }
    }
    seen.push(await remoteRead())
    t.is(new Set(seen.map(({ cwd }) => cwd)).size, 2, 'one copy a node')
    for (const { text, data, url, cwd } of seen) {
      t.deepEqual([text, data], ['first', 'data beside it'])
      t.is(url, pathToFileURL(join(cwd, 'reader.js')).href)
      t.deepEqual(readdirSync(cwd).sort(), ['.troupeignore', 'data.txt', 'lib', 'package.json', 'reader.js'])
    }
    const inside = await RemoteReader.options({ cwd: 'lib', isolation: 'thread' }).spawn()
    await t.throwsAsync(async () => await inside.read(), { message: /data\.txt/ }, 'folders are in the copy')
    const local = await RemoteReader.options({ isolation: 'local' }).spawn()
    const child = await local.spawnIn('b')
    t.is((await child.read()).text, 'first')
  } finally {
    renameSync(`${folder}-gone`, folder)
    await cluster.shutdown()
    await node.close()
    await head.close()
  }
  t.deepEqual(ownFolders(), [])
})

test.serial('a directory is sent once for all drivers that have it, and anew when it has changed', async (t) => {
  const folder = project(t)
  const sent = countSent(t)
  const head = await startHead({ host: '127.0.0.1', port: 0 })
  try {
    const read = async () => {
      const driver = run(t, 'directory-program.js', head.address, folder)
      const seen = JSON.parse(await driver.line()) as Seen
      t.is(await driver.ended, 0)
      return seen
    }
    const [first, second] = await Promise.all([read(), read()])
    t.is(first.cwd, second.cwd)
    t.is(sent(), 1)
    writeFileSync(join(folder, 'lib', 'text.js'), "export const text = 'second'\n")
    const changed = await read()
    t.is(changed.text, 'second')
    t.not(changed.cwd, first.cwd)
    t.is(sent(), 2)
    writeFileSync(join(folder, 'lib', 'text.js'), "export const text = 'first'\n")
    t.is((await read()).cwd, first.cwd, 'what was sent before is still there')
    t.is(sent(), 2)
  } finally {
    await head.close()
  }
})

test.serial('a cluster that a driver starts runs its working directory too, TypeScript sources among it', async (t) => {
  const folder = temporaryFolder(t, {
    'greeter.ts': `
      enum Greeting { Hello = 'hello' }
      export function greet(name: string): string { return [Greeting.Hello, name, process.cwd()].join(' ') }
    `,
  })
  await using _cluster = await connect({ workingDirectory: pathToFileURL(folder) })
  const { remote } = await import('../index.js')
  const greet = remote(pathToFileURL(join(folder, 'greeter.ts')).href, function greet(name: string): string {
    return `${name} was not greeted`
  })
  t.regex(await greet('world'), /^hello world .*troupe-code-/)
})

test.serial('a working directory that is none is refused', async (t) => {
  await t.throwsAsync(() => connect({ workingDirectory: '/nowhere' }), {
    instanceOf: InvalidInputError,
    message: 'workingDirectory must be a directory, found /nowhere',
  })
})
