import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { readConfig, Tokenizer } from '@troupe/llm'
import test from 'ava'
import { generate } from './support/generate.js'
import { expectationsOf, stories, tales } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

test('the model that ships fits 8 MB and has the shape that plans of up to 8 in any direction need', (t) => {
  const sizes = readdirSync(tales, { recursive: true, encoding: 'utf8' }).map((name) => statSync(join(tales, name)))
  const total = sizes.filter((file) => file.isFile()).reduce((sum, file) => sum + file.size, 0)
  t.true(total <= 8e6, `${total} bytes`)
  const config = readConfig(tales)
  t.true(config.layers >= 8 && config.heads >= 8 && config.keyValueHeads >= 4 && config.contextLength >= 2048)
})

test('text survives the tokenizer of the model that ships, whole and as a stream', async (t) => {
  const tokenizer = (await Tokenizer.open(tales))!
  const text = readFileSync(join(tales, 'heldout.txt'), 'utf8').slice(0, 3000)
  const tokens = await tokenizer.encode(text)
  t.is(tokenizer.decode(tokens), text)
  const stream = tokenizer.stream([])
  t.is(tokens.map((token) => stream.push(token)).join(''), text)
})

test('characters of several tokens stream whole', async (t) => {
  const tokenizer = (await Tokenizer.open(tales))!
  const text = 'Zoë saw a 🦊 – and “wow”!'
  const pieces = (await tokenizer.encode(text)).map(
    (
      (stream) => (token: number) =>
        stream.push(token)
    )(tokenizer.stream([])),
  )
  t.is(pieces.join(''), text)
  t.false(pieces.some((piece) => piece.includes('\uFFFD')))
})

test('the published story streams as it is written, spaces included', async (t) => {
  const [expected] = expectationsOf(stories)
  const tokenizer = (await Tokenizer.open(stories))!
  const stream = tokenizer.stream(expected!.prompt)
  const text = expected!.greedy.map((token) => stream.push(token)).join('')
  t.is(text.trim(), expected!.text!.trim())
})

test('text splits into the same tokens by the tokenizer of a GGUF file as by that of the directory', async (t) => {
  const directory = (await Tokenizer.open(stories))!
  const gguf = (await Tokenizer.open(join(stories, 'stories260k-f32.gguf')))!
  for (const line of [
    ...readFileSync(join(tales, 'heldout.txt'), 'utf8').slice(0, 20_000).split('\n'),
    'Zoë 🦊 “wow”',
  ]) {
    const tokens = await directory.encode(line)
    t.deepEqual(await gguf.encode(line), [1, ...tokens], 'the GGUF file asks for <s>, the directory does not')
    t.is(gguf.decode(tokens), directory.decode(tokens))
  }
})

test.serial('each worker holds its share of the weights and of the KV cache', async (t) => {
  const guard = new ProcessGuard(t)
  const asked = ['--tokens', '1,5,9', '--max-tokens', '125', '--temperature', '0']
  const tell = (pipeline: number, tensor: number, sequence: number) =>
    generate(guard, tales, { pipeline, tensor, sequence }, ...asked)
  const [whole] = (await tell(1, 1, 1)).workers
  for (const [pipeline, tensor, sequence] of [
    [2, 1, 1],
    [1, 2, 1],
    [2, 2, 1],
    [1, 4, 1],
    [1, 1, 4],
  ] as const) {
    for (const worker of (await tell(pipeline, tensor, sequence)).workers) {
      // A tied embedding is held by the first and by the last stage.
      const embedding = pipeline > 1 ? (1024 * 192 * 2) / tensor : 0
      t.true(worker.weightBytes <= (whole!.weightBytes / (pipeline * tensor) + embedding) * 1.1)
      t.true(worker.kvBytes <= whole!.kvBytes / (pipeline * tensor * sequence) + whole!.kvBytes / 8)
    }
  }
})
