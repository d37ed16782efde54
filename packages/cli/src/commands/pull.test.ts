import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'

const troupe = fileURLToPath(new URL('../../bin/troupe.js', import.meta.url))
const tales = fileURLToPath(new URL('../../../../models/tales', import.meta.url))
const commit = 'c'.repeat(40)

/** A hub that has the shipped model as org/tales. */
async function hub(t: ExecutionContext): Promise<NodeJS.ProcessEnv> {
  const files = readdirSync(tales, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => [name, readFileSync(join(tales, name))] as const)
  const hash = (content: Buffer) => createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex')
  const listing = files.map(([path, content]) => ({ type: 'file', path, size: content.length, oid: hash(content) }))
  const server = createServer(({ url = '' }, response) => {
    const file = files.find(([path]) => url === `/org/tales/resolve/${commit}/${path}`)
    if (file) return response.end(file[1])
    if (url.startsWith('/api/models/org/tales/tree/')) return response.end(JSON.stringify(listing))
    if (url.startsWith('/api/models/org/tales/revision/main')) return response.end(JSON.stringify({ sha: commit }))
    return response.writeHead(404, { 'x-error-code': 'RepoNotFound' }).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cache = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
    rmSync(cache, { recursive: true })
  })
  const { HF_TOKEN: _, HF_HUB_OFFLINE: __, ...rest } = process.env
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { ...rest, HF_ENDPOINT: endpoint, HF_HUB_CACHE: cache, NO_PROXY: '127.0.0.1' }
}

async function run(
  env: NodeJS.ProcessEnv,
  ...args: string[]
): Promise<{ stdout: string; stderr: string; code: number }> {
  const child = spawn(process.execPath, [troupe, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { stdout, stderr, code }
}

test('pull fetches a model and prints its path, and other commands take its name', async (t) => {
  const env = await hub(t)
  const pulled = await run(env, 'pull', 'org/tales')
  t.is(pulled.stderr.includes('error'), false, pulled.stderr)
  t.regex(pulled.stdout, new RegExp(`^/.*/models--org--tales/snapshots/${commit}\n$`))
  const lines = pulled.stderr.trim().split('\n')
  t.true(lines.length <= 11, pulled.stderr)
  t.regex(lines.at(-1)!, /^fetched \d[\d.]* MB of \d[\d.]* MB, 100 %, /)

  const offline = { ...env, HF_HUB_OFFLINE: '1' }
  const args = ['--max-tokens', '4', '--temperature', '0', '--prompt', 'Once upon a time']
  const told = await run(offline, 'generate', '--model', 'org/tales', ...args)
  t.regex(told.stdout, /^Once upon a time/, told.stderr)
  t.is(told.stdout, (await run(env, 'generate', '--model', tales, ...args)).stdout)
})

test('a model that is not there is fetched by the command that needs it', async (t) => {
  const env = await hub(t)
  const { stdout, stderr, code } = await run(env, 'plan', 'org/tales', '--json', '--cluster', '/nowhere.json')
  t.is(code, 2)
  t.is(stdout, '')
  t.regex(stderr, /^fetched [\s\S]* 100 %, .*\nerror: .*nowhere\.json/)
})

test('a model that is nowhere is one line on standard error', async (t) => {
  const env = await hub(t)
  for (const args of [
    ['pull', 'org/none'],
    ['generate', '--prompt', 'x', '--model', 'org/none'],
    ['pull'],
    ['pull', './none'],
  ]) {
    const { stdout, stderr, code } = await run(env, ...args)
    t.is(code, 2, stderr)
    t.is(stdout, '')
    t.regex(stderr, /^error: [^\n]+\n$/)
  }
})
