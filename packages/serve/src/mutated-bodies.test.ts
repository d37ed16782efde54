import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { LLM } from '@troupe/llm'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { serve } from './server.js'
import { mutated, mutation, Statuses } from './testing/mutated-bodies.js'
import { served } from './testing/served.js'

const stories = fileURLToPath(new URL('../../../test/models/stories260k', import.meta.url))
const bodies = process.env.TROUPE_TEST_THOROUGH ? 10_000 : 400

test('no mutated body gets more than a refusal, or leaves anything behind', async (t) => {
  const { post, errors, idle, server } = await served(t)
  const statuses = new Statuses()
  await fc.assert(
    fc.asyncProperty(mutation, async (given) => {
      const [path, body] = mutated(given)
      await statuses.add(await post(path, body), path, body)
      if (errors.length > 0) throw new Error(`${path} ${body}: ${errors[0]}`)
    }),
    { numRuns: bodies, includeErrorInReport: true },
  )
  t.log(String(statuses))
  t.true(statuses.of(200) > bodies / 20 && statuses.of(400) > bodies / 20)
  t.is((await fetch(`${server.url}/health`)).status, 200)
  await idle()
})

/** Bodies that a model is sent at once. */
const AT_ONCE = 8

test('mutated bodies at once, of which some clients leave, leave no block of a real model in use', async (t) => {
  await using llm = await LLM.load(chatModel(t), { name: 'scripted', contextLength: 64, maxSequences: 4 })
  const errors: unknown[] = []
  const server = await serve(llm, { port: 0, onError: (error) => errors.push(error) })
  t.teardown(() => server.close())
  const statuses = new Statuses()
  let left = 0
  const send = async ([path, body]: [string, string], stays: number | null) => {
    const leaving = new AbortController()
    if (stays !== null) setTimeout(() => leaving.abort(), stays)
    const headers = { 'content-type': 'application/json' }
    try {
      const asked = fetch(`${server.url}${path}`, { method: 'POST', body, headers, signal: leaving.signal })
      await statuses.add(await asked, path, body)
    } catch (error) {
      if ((error as Error).name !== 'AbortError') throw error
      left++
    }
  }
  /** Some stay only for so many milliseconds. */
  const stays = fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, fc.nat({ max: 100 }))
  const client = fc.record({ change: mutation, stays })
  await fc.assert(
    fc.asyncProperty(fc.array(client, { minLength: AT_ONCE, maxLength: AT_ONCE }), async (clients) => {
      await Promise.all(clients.map(({ change, stays }) => send(mutated(change), stays)))
      if (errors.length > 0) throw new Error(String(errors[0]))
    }),
    { numRuns: Math.ceil(bodies / AT_ONCE), includeErrorInReport: true, endOnFailure: true },
  )
  t.log(`${statuses}, left: ${left}`)
  t.true(statuses.of(200) > bodies / 20 && statuses.of(400) > bodies / 20 && left > 0)
  const figures = ['kv_cache_blocks_used', 'num_requests_running', 'num_requests_waiting'] as const
  const read = async () => {
    const text = await (await fetch(`${server.url}/metrics`)).text()
    return figures.map((name) => Number(new RegExp(`^troupe:${name}\\{.*\\} (.*)$`, 'm').exec(text)![1]))
  }
  let found = await read()
  // Answers whose clients have left end with the step that they are part of.
  for (let looks = 0; looks < 500 && found.some((figure) => figure !== 0); looks++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    found = await read()
  }
  t.deepEqual(found, [0, 0, 0])
  t.is(server.requests, 0)
  t.deepEqual(errors, [])
  const { choices } = await llm.generate('Once upon a time', { maxTokens: 8, temperature: 0 })
  t.is(choices[0]!.tokens.length, 8)
})

/** A real tiny model with a chat template. */
function chatModel(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  cpSync(stories, folder, { recursive: true })
  const template =
    '{{ bos_token }}{% for m in messages %}{{ m.content }} {% endfor %}{{ "[TOOL_CALLS]" if tools }}{% if add_generation_prompt %}One day,{% endif %}'
  writeFileSync(join(folder, 'chat_template.jinja'), template)
  return folder
}
