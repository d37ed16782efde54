import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, InvalidInputError } from '@troupe/core'
import { ContextLengthError, Engine, LLM } from '@troupe/llm'
import test, { type ExecutionContext } from 'ava'
import { referenceModels, stories } from './support/models.js'
import { ProcessGuard } from './support/processes.js'
import { renameTensors } from './support/safetensors.js'

const POOLINGS = ['last', 'mean', 'first'] as const

type Expectation = { text: number[] } & Record<(typeof POOLINGS)[number], number[]>

function worst(found: Float32Array, expected: ArrayLike<number>): number {
  return found.length === expected.length
    ? Math.max(...found.map((value, i) => Math.abs(value - expected[i]!)))
    : Number.POSITIVE_INFINITY
}

for (const [name, plans] of Object.entries({
  'llama-odd': [{}, { pipeline: 2, tensor: 3 }],
  'mistral-window': [{ tensor: 2, sequence: 2 }, { pipeline: 3 }],
  qwen3: [{ pipeline: 2, sequence: 2 }, { sequence: 3 }],
})) {
  test.serial(
    `${name}: vectors of texts are those of Hugging Face transformers under every plan, beside other requests`,
    async (t) => {
      new ProcessGuard(t)
      await using cluster = await connect()
      const { folder } = referenceModels().find((model) => model.name === name)!
      const texts = JSON.parse(readFileSync(join(folder, 'embeddings.json'), 'utf8')) as Expectation[]
      for (const plan of plans) {
        const engine = await Engine.start(cluster, {
          ...{ model: folder, plan, contextLength: 160, maxSequences: 3, chunkTokens: 41, threads: 1 },
        })
        const others = texts.map(async ({ text }) => {
          let count = 0
          for await (const _ of engine.generate(text, { maxTokens: 20, stopAtEnd: false })) count++
          return count
        })
        await Promise.all(
          texts.flatMap((expected) =>
            POOLINGS.map(async (pooling) => {
              const difference = worst(await engine.embed(expected.text, pooling), expected[pooling])
              t.true(difference < 1e-4, `${JSON.stringify(plan)} ${pooling} of ${expected.text.length}: ${difference}`)
            }),
          ),
        )
        t.deepEqual(await Promise.all(others), [20, 20, 20])
        await engine.stop()
      }
    },
  )
}

/** A real tiny model, with what sentence-transformers' files say of its vectors. */
function embeddingModel(t: ExecutionContext, modules: readonly string[], pooling: object = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  cpSync(stories, folder, { recursive: true })
  const described = modules.map((kind, index) => ({
    ...{ idx: index, name: String(index), type: `sentence_transformers.models.${kind}` },
    path: index === 0 ? '' : `${index}_${kind}`,
  }))
  writeFileSync(join(folder, 'modules.json'), JSON.stringify(described))
  mkdirSync(join(folder, '1_Pooling'))
  writeFileSync(join(folder, '1_Pooling', 'config.json'), JSON.stringify(pooling))
  return folder
}

test.serial("an LLM's vectors are pooled and normalized as its files say, and as is asked for", async (t) => {
  new ProcessGuard(t)
  await using cluster = await connect()
  const texts = ['Lily went to the park.', 'Tom had a red ball.']
  const length = (vector: Float32Array) => Math.hypot(...vector)

  await using plain = await LLM.load(stories, { cluster, contextLength: 40 })
  const tokens = await Promise.all(texts.map((text) => plain.tokenizer.encode(text)))
  const { embeddings, usage } = await plain.embed(texts)
  t.is(usage.promptTokens, tokens[0]!.length + tokens[1]!.length)
  t.true(embeddings.every((vector) => Math.abs(length(vector) - 1) < 1e-6))
  t.deepEqual((await plain.embed(tokens)).embeddings, embeddings)
  const bare = await plain.embed(texts, { normalize: false })
  t.deepEqual(bare.embeddings, await Promise.all(tokens.map((text) => plain.engine.embed(text))))
  t.true(Math.abs(length(bare.embeddings[0]!) - 1) > 1e-3)
  t.is((await plain.embed([Array(40).fill(5)])).usage.promptTokens, 40, 'a text may fill the context')

  const says = async (asked: readonly unknown[], params: object, message: RegExp) => {
    await t.throwsAsync(plain.embed(asked as string[], params), { instanceOf: InvalidInputError, message })
  }
  await says(['a', []], {}, /text 2 of 2 is empty/)
  await says([[1, 512]], {}, /token 512 is not in the vocabulary/)
  await says(['a'], { pooling: 'max' }, /pooling must be one of last, mean, first; found max/)
  await says(['a'], { normalize: 1 }, /normalize must be true or false; found 1/)
  await says(['a'], { pool: 'last' }, /pool is no parameter; expected pooling, normalize/)
  await t.throwsAsync(plain.embed([Array(41).fill(5)]), { instanceOf: ContextLengthError, message: /has 41 tokens/ })
  await plain.engine.stop()

  const mean = embeddingModel(t, ['Transformer', 'Pooling'], { pooling_mode_mean_tokens: true })
  await using averaging = await LLM.load(mean, { cluster })
  const means = await Promise.all(tokens.map((text) => averaging.engine.embed(text, 'mean')))
  t.deepEqual((await averaging.embed(texts)).embeddings, means)
  await averaging.engine.stop()

  const max = embeddingModel(t, ['Transformer', 'Pooling', 'Normalize'], { pooling_mode_max_tokens: true })
  renameTensors(join(max, 'model.safetensors'), (name) => name.replace(/^model\./, ''))
  await using odd = await LLM.load(max, { cluster })
  await t.throwsAsync(odd.embed(texts), {
    instanceOf: InvalidInputError,
    message: /1_Pooling.*pooling max; .*lasttoken/,
  })
  t.deepEqual((await odd.embed(texts, { pooling: 'last' })).embeddings, embeddings)
  await odd.engine.stop()
})
