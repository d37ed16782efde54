import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import test from 'ava'
import { create, list } from 'tar'
import { InvalidInputError } from '../common/errors.js'
import { DirectoryCache } from '../node/directory-cache.js'
import { OwnFolder } from '../node/own-folder.js'
import { directoryId, newHash } from '../protocol/directory-id.js'
import { type PackedDirectory, packDirectory } from '../protocol/packing.js'
import { temporaryFolder } from '../testing/temporary.js'
import { DirectoryStore } from './directory-store.js'

async function archiveOf({ archive }: PackedDirectory): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of archive()) pieces.push(piece)
  return Buffer.concat(pieces)
}

async function namesIn(packed: PackedDirectory): Promise<string[]> {
  const names: string[] = []
  const lister = list({ onReadEntry: (entry) => names.push(entry.path.replace(/^\.\//, '')) })
  lister.end(gunzipSync(await archiveOf(packed)))
  return names
}

function idOf(tar: Buffer): string {
  return directoryId('module', newHash().update(tar))
}

/** A cache that gets an archive from nobody but here. */
function cacheOf(folder: OwnFolder, archive: Buffer, onRead = () => {}): DirectoryCache {
  return new DirectoryCache(folder, async (_, offset) => {
    onRead()
    return archive.subarray(offset, offset + 100)
  })
}

test('the id of a directory is that of what it holds, wherever it is and whenever it was written', async (t) => {
  const files = { 'a.js': 'a', 'b/c.js': 'c', '@scope/d.js': 'd' }
  const [left, right] = [temporaryFolder(t, files), temporaryFolder(t, files)]
  utimesSync(join(right, 'a.js'), 1, 1)
  const { id } = await packDirectory(left)
  t.is((await packDirectory(right)).id, id)
  chmodSync(join(right, 'a.js'), 0o755)
  const executable = await packDirectory(right)
  t.not(executable.id, id)
  writeFileSync(join(left, 'b', 'c.js'), 'C')
  t.not((await packDirectory(left)).id, id)
  t.deepEqual(await namesIn(executable), ['@scope/d.js', 'a.js', 'b/c.js'])
})

test('packages, repositories and what .troupeignore names are left out', async (t) => {
  const folder = temporaryFolder(t, {
    'a.js': '',
    'big/data.bin': '',
    'lib/keep.log': '',
    'lib/drop.log': '',
    'node_modules/p/index.js': '',
    '.git/config': '',
    '.troupeignore': 'big/\n*.log\n!keep.log\n',
  })
  t.deepEqual(await namesIn(await packDirectory(folder)), ['.troupeignore', 'a.js', 'lib/keep.log'])
  writeFileSync(join(folder, '.troupeignore'), '!node_modules\nbig\nlib\n')
  t.deepEqual(await namesIn(await packDirectory(folder)), ['.troupeignore', 'a.js', 'node_modules/p/index.js'])
})

test('links are followed, also to files elsewhere, and never in circles', async (t) => {
  const [folder, elsewhere] = [temporaryFolder(t, { 'lib/a.js': '' }), temporaryFolder(t, { 'b.js': 'elsewhere' })]
  symlinkSync(join(elsewhere, 'b.js'), join(folder, 'b.js'))
  symlinkSync(folder, join(folder, 'lib', 'again'))
  symlinkSync(join(folder, 'nothing'), join(folder, 'broken'))
  t.deepEqual(await namesIn(await packDirectory(folder)), ['b.js', 'lib/a.js'])
})

test('a directory above the limit is refused with what is largest in it', async (t) => {
  const folder = temporaryFolder(t, { 'a.js': '', 'models/weights.bin': 'x'.repeat(3 * 2 ** 20) })
  await t.throwsAsync(() => packDirectory(folder, 2 ** 20), {
    instanceOf: InvalidInputError,
    message: /has 3\.0 MiB, where 1\.0 MiB are allowed; its largest entries are models \(3\.0 MiB\).*\.troupeignore/,
  })
})

test('a directory is unpacked once, also when many ask for it at a time', async (t) => {
  const packed = await packDirectory(temporaryFolder(t, { 'a/b.js': 'b'.repeat(10_000), 'package.json': '{}' }))
  const archive = await archiveOf(packed)
  const folder = new OwnFolder()
  t.teardown(() => folder.remove())
  let reads = 0
  const cache = cacheOf(folder, archive, () => {
    reads += 1
  })
  const roots = await Promise.all(Array.from({ length: 5 }, () => cache.root(packed.id)))
  t.is(new Set(roots).size, 1)
  t.is(reads, Math.ceil(archive.length / 100) + 1)
  t.is(readFileSync(join(roots[0]!, 'a', 'b.js'), 'utf8').length, 10_000)
  await cache.drop(packed.id)
  t.deepEqual(readdirSync(folder.path()), [])
})

test('a package cannot write outside of its folder, be it by a path or by a link', async (t) => {
  const source = temporaryFolder(t, { 'inside/ok.js': '', 'evil.js': 'evil' })
  const cwd = join(source, 'inside')
  symlinkSync('/', join(cwd, 'link'))
  mkdirSync(join(cwd, 'folder'))
  for (const entry of ['../evil.js', join(source, 'evil.js'), 'link', 'folder']) {
    const tar = Buffer.concat(
      await create({ cwd, preservePaths: true, noDirRecurse: true }, [entry, 'ok.js']).collect(),
    )
    const folder = new OwnFolder()
    t.teardown(() => folder.remove())
    const refusal = { instanceOf: InvalidInputError, message: /an entry that is no file of it: / }
    await t.throwsAsync(() => cacheOf(folder, gzipSync(tar)).root(idOf(tar)), refusal, entry)
    t.deepEqual(readdirSync(folder.path()), [], 'nothing is left of it')
    t.false(existsSync(join(folder.path(), '..', 'evil.js')))
  }
})

test('a package that holds something else than its id says is refused', async (t) => {
  const packed = await packDirectory(temporaryFolder(t, { 'a.js': 'a' }))
  const other = await packDirectory(temporaryFolder(t, { 'a.js': 'b' }))
  const folder = new OwnFolder()
  t.teardown(() => folder.remove())
  const archive = await archiveOf(other)
  await t.throwsAsync(() => cacheOf(folder, archive).root(packed.id), { message: /holds something else/ })
  await t.throwsAsync(() => cacheOf(folder, archive).root('../etc'), { message: /expected the id/ })
  t.is(typeof (await cacheOf(folder, archive).root(other.id)), 'string')
})

test('the head asks one driver at a time for a directory, the next one if that fails, and none once it has it', async (t) => {
  const packed = await packDirectory(temporaryFolder(t, { 'a.js': 'a' }))
  const { id } = packed
  const folder = new OwnFolder()
  t.teardown(() => folder.remove())
  const store = new DirectoryStore(folder)
  t.true(await store.offer(id, 'first'))
  const [second, third] = [store.offer(id, 'second'), store.offer(id, 'third')]
  await store.append(id, 'first', Buffer.from('half of'))
  await t.throwsAsync(() => store.append(id, 'second', Buffer.from('it')), { message: /was not asked for/ })
  await store.senderGone('first')
  t.true(await second)
  await store.append(id, 'second', await archiveOf(packed))
  t.false(store.has(id))
  await store.finish(id, 'second')
  t.false(await third)
  t.true(store.has(id))
  t.deepEqual(Buffer.from(await store.read(id, 0)), await archiveOf(packed))
})

test('of the directories that nobody is in the latest are kept', async (t) => {
  const folder = new OwnFolder()
  t.teardown(() => folder.remove())
  const store = new DirectoryStore(folder)
  const ids: string[] = []
  for (let number = 0; number < 7; number++) {
    const packed = await packDirectory(temporaryFolder(t, { 'a.js': String(number) }))
    ids.push(packed.id)
    await store.offer(packed.id, 'driver')
    await store.append(packed.id, 'driver', await archiveOf(packed))
    await store.finish(packed.id, 'driver')
  }
  await store.offer(ids[0]!, 'driver')
  const dropped = await store.trim((id) => id === ids[1])
  t.deepEqual(dropped, [ids[2], ids[3]])
  t.is(readdirSync(folder.path()).length, 5)
})

test('folders of processes that have ended are removed by the next one', (t) => {
  const [first, second] = [new OwnFolder(), new OwnFolder()]
  const own = first.path()
  const ended = own.replace(`-${process.pid}-`, '-4194305-')
  mkdirSync(ended)
  second.path()
  t.false(existsSync(ended))
  t.true(existsSync(own))
  first.remove()
  second.remove()
  t.false(existsSync(own))
})
