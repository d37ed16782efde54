import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { InvalidInputError } from '@troupe/core'
import test, { type ExecutionContext } from 'ava'
import { temporaryFolder } from '../testing/files.js'
import { type Fault, gitHash, HubServer, type SeenRequest } from '../testing/hub-server.js'
import type { DownloadProgress } from './fetch-files.js'
import { resolveModel } from './resolve-model.js'
import { type HubSettings, hubSettings } from './settings.js'

const program = fileURLToPath(new URL('../testing/resolve-program.js', import.meta.url))
const weights = randomBytes(300_000)
const directory = {
  ...{ 'README.md': 'card', 'config.json': '{}', 'generation_config.json': '{ }', 'tokenizer.json': '{  }' },
  ...{ 'tokenizer_config.json': '{   }', 'model.safetensors': weights, 'pytorch_model.bin': randomBytes(10) },
  ...{ 'onnx/model.onnx': 'no', 'original/consolidated.00.pth': 'no', 'chat_template.jinja': '{{ messages }}' },
  ...{ 'modules.json': '[]', '1_Pooling/config.json': '{    }', 'unit/config.json': '{}' },
}
const needed = [
  '1_Pooling',
  'chat_template.jinja',
  'config.json',
  'generation_config.json',
  'model.safetensors',
  'modules.json',
  'tokenizer.json',
  'tokenizer_config.json',
]

async function start(t: ExecutionContext, more: Partial<HubSettings> = {}) {
  const hub = await HubServer.start(t)
  const settings: HubSettings = {
    endpoint: hub.endpoint,
    cacheFolder: temporaryFolder(t),
    isOffline: false,
    token: undefined,
    ...more,
  }
  const folder = (name: string) => join(settings.cacheFolder, `models--${name.replace('/', '--')}`)
  return { hub, settings, folder }
}

/** A fault for the first requests of a file. */
function faulty(file: string, ...faults: Fault[]): (request: SeenRequest) => Fault | undefined {
  return ({ path, isContent }) =>
    path.endsWith(file) && (isContent || !/\.(safetensors|gguf)$/.test(file)) ? faults.shift() : undefined
}

const message = async (t: ExecutionContext, work: Promise<unknown>) =>
  (await t.throwsAsync(work, { instanceOf: InvalidInputError }))!.message

test('a model is fetched by its name into the shared cache, only what it needs, and found there without the hub', async (t) => {
  const { hub, settings, folder } = await start(t)
  const { commit } = hub.add('org/name', directory)
  const seen: DownloadProgress[] = []
  const path = await resolveModel('org/name', { settings, onProgress: (progress) => seen.push(progress) })
  t.is(path, join(folder('org/name'), 'snapshots', commit))
  t.deepEqual(readdirSync(path).sort(), needed)
  t.deepEqual(readFileSync(join(path, 'model.safetensors')), weights)
  t.is(readFileSync(join(folder('org/name'), 'refs', 'main'), 'utf8'), commit)
  const sha256 = createHash('sha256').update(weights).digest('hex')
  t.is(readlinkSync(join(path, 'model.safetensors')), `../../blobs/${sha256}`)
  t.is(readlinkSync(join(path, 'config.json')), `../../blobs/${gitHash(Buffer.from('{}'))}`)
  t.deepEqual(seen.at(-1)!.bytes, seen.at(-1)!.totalBytes)
  t.true(seen.every(({ bytes, totalBytes }) => bytes <= totalBytes))

  const count = hub.seen.length
  t.is(await resolveModel('org/name', { settings }), path)
  t.is(await resolveModel(`org/name@${commit}`, { settings }), path)
  t.is(await resolveModel(path, { settings }), path)
  t.is(hub.seen.length, count)
  hub.stop()
  t.is(await resolveModel('org/name', { settings: { ...settings, isOffline: true } }), path)
  t.is(await resolveModel('org/name', { settings, update: true }), path)
})

test('a newer version is fetched when asked for, without what has not changed', async (t) => {
  const { hub, settings } = await start(t)
  hub.add('org/name', directory)
  const before = await resolveModel('org/name', { settings })
  const { commit } = hub.add('org/name', { ...directory, 'config.json': '{"new":1}' })
  t.is(await resolveModel('org/name', { settings }), before)
  hub.seen.length = 0
  const path = await resolveModel('org/name', { settings, update: true })
  t.is(basename(path), commit)
  t.is(readFileSync(join(path, 'config.json'), 'utf8'), '{"new":1}')
  t.deepEqual(
    hub.seen.filter(({ path }) => path.includes('/resolve/')).map(({ path }) => basename(path)),
    ['config.json'],
  )
})

test('weights in several files are those that the index names', async (t) => {
  const { hub, settings } = await start(t)
  const { 'model.safetensors': _, ...rest } = directory
  const parts = { 'a.safetensors': randomBytes(10), 'b.safetensors': randomBytes(10), 'c.safetensors': randomBytes(10) }
  const index = JSON.stringify({ weight_map: { x: 'a.safetensors', y: 'b.safetensors', z: 'a.safetensors' } })
  hub.add('org/sharded', { ...rest, ...parts, 'model.safetensors.index.json': index })
  const path = await resolveModel('org/sharded', { settings })
  t.deepEqual(
    readdirSync(path)
      .filter((name) => name.endsWith('.safetensors'))
      .sort(),
    ['a.safetensors', 'b.safetensors'],
  )
  t.is(await resolveModel('org/sharded', { settings: { ...settings, isOffline: true } }), path)
})

test('of a repository of GGUF files the one that is named is fetched, with all its parts', async (t) => {
  const { hub, settings } = await start(t)
  const big = (part: number) => [`Q8_0/m-Q8_0-0000${part}-of-00002.gguf`, randomBytes(20)] as const
  hub.add('org/gguf', {
    'm-Q4_K_M.gguf': randomBytes(20),
    'm-Q6_K.gguf': randomBytes(20),
    'mmproj-Q8_0.gguf': 'no',
    ...Object.fromEntries([big(1), big(2)]),
  })
  const path = await resolveModel('org/gguf:q8_0', { settings })
  t.true(path.endsWith('/Q8_0/m-Q8_0-00001-of-00002.gguf'))
  t.true(existsSync(path.replace('00001-of', '00002-of')))
  t.deepEqual(hub.seen.filter(({ isContent }) => isContent).length, 2)
  t.is(await resolveModel('org/gguf/Q8_0/m-Q8_0-00002-of-00002.gguf', { settings }), path)
  t.regex(await resolveModel('org/gguf/m-Q6_K.gguf', { settings }), /m-Q6_K\.gguf$/)
  t.regex(
    await message(t, resolveModel('org/gguf', { settings, update: true })),
    /3 GGUF models; name one as .*m-Q4_K_M\.gguf/,
  )
  t.regex(await message(t, resolveModel('org/gguf:Q2_K', { settings })), /no GGUF file that is called Q2_K.*m-Q6_K/)
  t.regex(await message(t, resolveModel('org/gguf/other.gguf', { settings })), /no other\.gguf/)
})

for (const [what, fault] of Object.entries<Fault[]>({
  'connections that are cut in the middle': [{ cutAfter: 100_000 }, { cutAfter: 50_000 }],
  'a server that is busy': [{ status: 503 }, { status: 429, headers: { 'retry-after': '0' } }],
  'an answer with other content': [{ content: Buffer.alloc(weights.length) }],
  'an answer that goes on too long': [{ content: Buffer.concat([weights, weights]) }],
  'a server that knows no ranges': [{ cutAfter: 1000 }, { ignoresRanges: true }],
})) {
  test(`a download outlives ${what}`, async (t) => {
    const { hub, settings } = await start(t)
    hub.add('org/name', directory)
    hub.fault = faulty('model.safetensors', ...fault)
    let last: DownloadProgress | undefined
    const path = await resolveModel('org/name', { settings, onProgress: (progress) => (last = progress) })
    t.deepEqual(readFileSync(join(path, 'model.safetensors')), weights)
    t.is(last!.bytes, last!.totalBytes)
  })
}

test('a listing outlives a server that is busy', async (t) => {
  const { hub, settings } = await start(t)
  hub.add('org/name', directory)
  const faults: Fault[] = [{ status: 500 }, { status: 429, headers: { 'retry-after': '0' } }]
  hub.fault = ({ path }) => (path.includes('/tree/') ? faults.shift() : undefined)
  t.deepEqual(readdirSync(await resolveModel('org/name', { settings })).sort(), needed)
})

test('a cut download goes on behind the bytes that are there', async (t) => {
  const { hub, settings } = await start(t)
  hub.add('org/name', directory)
  hub.fault = faulty('model.safetensors', { cutAfter: 100_000 })
  await resolveModel('org/name', { settings })
  const ranges = hub.seen
    .filter(({ path, isContent }) => isContent && path.endsWith('model.safetensors'))
    .map(({ range }) => range)
  t.is(ranges[0], 'bytes=0-')
  t.regex(ranges[1]!, /^bytes=[1-9]\d*-$/)
})

test('content that stays other than listed is refused, and nothing of it kept', async (t) => {
  const { hub, settings, folder } = await start(t)
  hub.add('org/name', directory)
  hub.fault = ({ path, isContent }) =>
    isContent && path.endsWith('model.safetensors') ? { content: Buffer.alloc(weights.length) } : undefined
  t.regex(
    await message(t, resolveModel('org/name', { settings })),
    /model\.safetensors arrives with other content .*hash [0-9a-f]{64}, expected [0-9a-f]{64}/,
  )
  t.false(existsSync(join(folder('org/name'), 'blobs', createHash('sha256').update(weights).digest('hex'))))
  t.deepEqual(
    readdirSync(join(folder('org/name'), 'blobs')).filter((name) => name.endsWith('.incomplete')),
    [],
  )
  t.false(existsSync(join(folder('org/name'), 'refs')))
})

test('what the hub refuses is said with what to do, and without the token', async (t) => {
  const token = 'hf_verysecret'
  const { hub, settings } = await start(t)
  hub.add('org/name', directory)
  hub.add('org/gated', directory).isGated = true
  hub.token = token
  const told = async (name: string, more: Partial<HubSettings> = {}) => {
    const said = await message(t, resolveModel(name, { settings: { ...settings, ...more } }))
    t.false(said.includes('secret') || said.includes('\n'), said)
    return said
  }
  t.regex(
    await told('org/none'),
    /^org\/none is neither a path nor a model at 127.*check .*ORG\/NAME, and set HF_TOKEN/,
  )
  t.regex(await told('org/none', { token }), /org\/none is neither .* your token may read it/)
  t.regex(await told('org/gated'), /accept them at .*org\/gated and set HF_TOKEN/)
  t.regex(await told('org/gated', { token: 'hf_othersecret' }), /accept them at .* with the account of your token/)
  t.regex(await told('org/name@v9'), /org\/name has no revision v9/)
  const gone = await HubServer.start(t)
  const { endpoint } = gone
  gone.stop()
  t.regex(await told('org/name', { endpoint }), /no connection to 127\.0\.0\.1:\d+ \(ECONNREFUSED\).*HTTPS_PROXY/)
  t.regex(
    await told('org/name', { cacheFolder: '/proc/nowhere' }),
    /cannot be kept in \/proc\/nowhere|cannot be fetched/,
  )
  t.regex(await told('org/name', { isOffline: true }), /org\/name@main is not in .*HF_HUB_OFFLINE/)
  for (const bad of [
    'nothing',
    './no/such/path',
    'a/b/c',
    'org/..',
    'org/name:',
    'org/name@',
    'https://x.y/org/name',
    '../org/name.gguf:Q8_0',
  ]) {
    t.regex(await told(bad), /no model at .*expected the path of .* or a name on the Hugging Face hub/, bad)
  }
})

test('a token goes to the hub and to nobody else', async (t) => {
  const { hub, settings } = await start(t, { token: 'any-kind-of-token' })
  hub.add('org/gated', directory).isGated = true
  hub.token = 'any-kind-of-token'
  await resolveModel('org/gated', { settings })
  t.true(
    hub.seen
      .filter(({ isContent }) => !isContent)
      .every(({ authorization }) => authorization === 'Bearer any-kind-of-token'),
  )
  t.true(hub.seen.filter(({ isContent }) => isContent).every(({ authorization }) => authorization === undefined))
})

test('without the hub it is said which file is missing', async (t) => {
  const { hub, settings, folder } = await start(t)
  const { commit } = hub.add('org/name', directory)
  const snapshot = join(folder('org/name'), 'snapshots', commit)
  mkdirSync(snapshot, { recursive: true })
  mkdirSync(join(folder('org/name'), 'refs'))
  writeFileSync(join(folder('org/name'), 'refs', 'main'), commit)
  writeFileSync(join(snapshot, 'model.safetensors.index.json'), JSON.stringify({ weight_map: { x: 'a.safetensors' } }))
  writeFileSync(join(snapshot, 'config.json'), '{}')
  const offline = { settings: { ...settings, isOffline: true } }
  t.regex(await message(t, resolveModel('org/name', offline)), /HF_HUB_OFFLINE.*org\/name has no a\.safetensors/)
  writeFileSync(join(snapshot, 'a.safetensors'), 'x')
  t.is(await resolveModel('org/name', offline), snapshot)
})

test('names of files that would leave the cache are passed over', async (t) => {
  const { hub, settings } = await start(t)
  hub.add('org/name', { ...directory, '../../../../escaped/config.json': 'no', '/escaped/tokenizer.json': 'no' })
  t.deepEqual(readdirSync(await resolveModel('org/name', { settings })).sort(), needed)
})

test('a model larger than the free disk is refused before a byte of it is fetched', async (t) => {
  const { hub, settings } = await start(t)
  const repository = hub.add('org/name', directory)
  Object.defineProperty(repository.files.get('model.safetensors')!, 'length', { value: 2 ** 60 })
  t.regex(
    await message(t, resolveModel('org/name', { settings })),
    /takes \d+\.\d GB more in .* free; make room there, or set HF_HOME/,
  )
  t.false(hub.seen.some(({ path }) => path.includes('/resolve/')))
})

test('a download that its caller ends fails with the reason, and is gone on with later', async (t) => {
  const { hub, settings } = await start(t)
  hub.add('org/name', directory)
  hub.fault = faulty('model.safetensors', { stallAfter: 200_000 })
  const controller = new AbortController()
  const reason = new Error('enough')
  const first = resolveModel('org/name', {
    settings,
    signal: controller.signal,
    onProgress: ({ bytes }) => bytes >= 200_000 && controller.abort(reason),
  })
  t.is(await t.throwsAsync(first), reason)
  const path = await resolveModel('org/name', { settings })
  t.deepEqual(readFileSync(join(path, 'model.safetensors')), weights)
  t.is(
    hub.seen.filter(({ path, isContent }) => isContent && path.endsWith('model.safetensors')).at(-1)!.range,
    'bytes=200000-',
  )
})

test('a process takes over from one that is killed in the middle, and waits for one that is not', async (t) => {
  const { hub, settings } = await start(t)
  hub.add('org/name', directory)
  hub.fault = faulty('model.safetensors', { stallAfter: 200_000 })
  const { HF_TOKEN: _, HF_HUB_OFFLINE: __, ...rest } = process.env
  const env = { ...rest, HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: settings.cacheFolder, NO_PROXY: '127.0.0.1' }
  const run = () => {
    const child = spawn(process.execPath, [program, 'org/name'], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => child.kill('SIGKILL'))
    return child
  }
  const first = run()
  const seen = (child: typeof first, isWanted: (line: string) => boolean) =>
    new Promise<void>((resolve) => {
      child.stdout.on('data', (chunk) => String(chunk).split('\n').some(isWanted) && resolve())
    })
  await seen(first, (line) => Number(line) >= 200_000)
  const others = [run(), run(), run()]
  const outputs = others.map((child) => text(child.stdout))
  const exits = others.map((child) => once(child, 'exit'))
  await Promise.all(others.map((child) => seen(child, (line) => line === 'waits')))
  first.kill('SIGKILL')
  t.deepEqual(
    await Promise.all(exits),
    others.map(() => [0, null]),
  )
  const paths = (await Promise.all(outputs)).map((output) => output.trim().split('\n').at(-1)!)
  t.is(new Set(paths).size, 1)
  t.deepEqual(readFileSync(join(paths[0]!, 'model.safetensors')), weights)
  const ranges = hub.seen
    .filter(({ path, isContent }) => isContent && path.endsWith('model.safetensors'))
    .map(({ range }) => range)
  t.deepEqual(ranges, ['bytes=0-', 'bytes=200000-'])
  t.true(statSync(paths[0]!).isDirectory())
})

test('the environment says where models are kept and who asks', (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'token'), ' hf_stored\n')
  const plain = hubSettings({ HF_HOME: folder })
  t.deepEqual(plain, {
    endpoint: 'https://huggingface.co',
    cacheFolder: join(folder, 'hub'),
    isOffline: false,
    token: 'hf_stored',
  })
  const told = hubSettings({
    HF_HOME: folder,
    HF_HUB_CACHE: '/x/y',
    HF_TOKEN: 'hf_given',
    HF_ENDPOINT: 'http://mirror/',
    HF_HUB_OFFLINE: '1',
  })
  t.deepEqual(told, { endpoint: 'http://mirror', cacheFolder: '/x/y', isOffline: true, token: 'hf_given' })
  t.is(hubSettings({ XDG_CACHE_HOME: '/c' }).cacheFolder, '/c/huggingface/hub')
  t.throws(() => hubSettings({ HF_ENDPOINT: 'mirror' }), {
    instanceOf: InvalidInputError,
    message: /HF_ENDPOINT must be a URL/,
  })
})
