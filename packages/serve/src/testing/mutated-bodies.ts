import fc from 'fast-check'

const messages = [
  { role: 'system', content: 'be kind' },
  { role: 'user', content: [{ type: 'text', text: 'hello' }] },
]
const schema = { type: 'object', properties: { city: { type: 'string' } } }
const named = { name: 'weather', description: 'of a city', parameters: schema }

/** A body of every route that takes one, with most of its fields. */
const bodies: readonly [path: string, body: object][] = [
  [
    '/v1/chat/completions',
    {
      ...{ model: 'scripted', messages, temperature: 1, top_p: 0.5, n: 2, seed: 1, stop: ['x'], max_tokens: 4 },
      ...{
        logit_bias: { 65: 1 },
        logprobs: true,
        top_logprobs: 2,
        stream: false,
        stream_options: { include_usage: true },
      },
      ...{
        tools: [{ type: 'function', function: named }],
        tool_choice: 'auto',
        response_format: { type: 'json_object' },
      },
    },
  ],
  ['/v1/completions', { model: 'scripted', prompt: ['a', [65, 66]], max_tokens: 3, logprobs: 1, stream: true, n: 1 }],
  [
    '/v1/completions',
    {
      ...{ model: 'scripted', prompt: 'hello', max_tokens: 6, min_tokens: 2, repetition_penalty: 1.1, top_k: 4 },
      ...{ structured_outputs: { regex: '[a-z ]+' }, stop_token_ids: [66], min_p: 0.1, presence_penalty: 1 },
    },
  ],
  [
    '/v1/responses',
    {
      ...{ model: 'scripted', input: messages, instructions: 'be kind', tools: [{ type: 'function', ...named }] },
      ...{ text: { format: { type: 'json_schema', name: 's', schema } }, stream: true, reasoning: { effort: 'low' } },
    },
  ],
  ['/v1/embeddings', { model: 'scripted', input: ['a', [65]], encoding_format: 'base64', dimensions: 2 }],
  [
    '/v1/messages',
    {
      ...{ model: 'scripted', max_tokens: 5, system: 'be kind', messages: messages.slice(1), stream: true, top_k: 3 },
      ...{ tools: [{ name: 'weather', input_schema: schema }], tool_choice: { type: 'auto' }, stop_sequences: ['x'] },
    },
  ],
  ['/v1/messages/count_tokens', { model: 'scripted', messages: messages.slice(1) }],
  ['/tokenize', { prompt: 'hello' }],
  ['/detokenize', { tokens: [65, 66] }],
]

/** Values that many fields may have, and those that clients may send by mistake, or to do harm. */
const odd = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom<unknown>(1, 2, 5, false, 'hello', ['x']) },
  fc.constantFrom<unknown>(
    null,
    true,
    '',
    -1,
    0,
    1e308,
    -1e-308,
    2 ** 53,
    0.5,
    [],
    {},
    [[]],
    '\uD800',
    'x'.repeat(5000),
  ),
  fc.constantFrom<unknown>(
    { constructor: 1 },
    { toString: null },
    { length: -1 },
    { type: 'text' },
    'scripted',
    'auto',
  ),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.jsonValue({ maxDepth: 3 }),
)

type Place = { parent: Record<string, unknown>; key: string }

function placesOf(value: unknown, places: Place[] = []): Place[] {
  if (typeof value !== 'object' || value === null) return places
  for (const [key, child] of Object.entries(value)) {
    places.push({ parent: value as Record<string, unknown>, key })
    placesOf(child, places)
  }
  return places
}

/** A change to one of the bodies. */
export const mutation = fc.record({
  route: fc.nat({ max: bodies.length - 1 }),
  changes: fc.array(
    fc.record({ place: fc.nat(), value: odd, kind: fc.constantFrom('set', 'set', 'delete', 'add', 'add') }),
    {
      minLength: 1,
      maxLength: 2,
    },
  ),
  text: fc.oneof(
    { weight: 4, arbitrary: fc.constant(null) },
    fc.record({ at: fc.nat(), put: fc.constantFrom('', '}', '"', '1e999', '{"__proto__":{}}', '\u0000') }),
  ),
})

type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never

/** The path and the text of a body that was changed. */
export function mutated({ route, changes, text }: Mutation): [path: string, body: string] {
  const [path, original] = bodies[route]!
  const body = structuredClone(original)
  for (const { place, value, kind } of changes) {
    const places = placesOf(body)
    if (places.length === 0) break
    const { parent, key } = places[place % places.length]!
    if (kind === 'set') parent[key] = structuredClone(value)
    else if (kind === 'delete') delete parent[key]
    else parent[`${key}s`] = structuredClone(value)
  }
  const json = JSON.stringify(body)
  if (text === null) return [path, json]
  const at = text.at % json.length
  return [path, json.slice(0, at) + text.put + json.slice(at + 1)]
}

/** How many answers had which status. */
export class Statuses {
  readonly #counts = new Map<number, number>()

  /** @throws Error if the answer is a fault of the server, or a refusal that does not say why. */
  async add(response: Response, path: string, body: string): Promise<void> {
    const text = await response.text()
    const { status } = response
    this.#counts.set(status, this.of(status) + 1)
    if (status >= 500) throw new Error(`${path} ${body}: ${status} ${text}`)
    if (status >= 400 && typeof JSON.parse(text).error.message !== 'string') throw new Error(text)
  }

  of(status: number): number {
    return this.#counts.get(status) ?? 0
  }

  toString(): string {
    return [...this.#counts].map(([status, count]) => `${status}: ${count}`).join(', ')
  }
}
