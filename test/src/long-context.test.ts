import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@troupe/core'
import { Engine } from '@troupe/llm'
import test from 'ava'
import { ProcessGuard } from './support/processes.js'
import { kvBytesPerToken, writeRandomModel } from './support/random-model.js'

const BLOCK_TOKENS = 16
const ranks = 4
/** The prompt's tokens: 65,536 take minutes. */
const tokens = Number(process.env.TROUPE_LONG_PROMPT ?? 3000)

interface Found {
  tokens: number[]
  logits: Float32Array
}

test.serial(
  'a long prompt on 4 sequence ranks takes a quarter of the KV memory each, for the same logits',
  async (t) => {
    t.timeout(1_200_000)
    new ProcessGuard(t)
    const model = mkdtempSync(join(tmpdir(), 'troupe-test-'))
    t.teardown(() => rmSync(model, { recursive: true }))
    writeRandomModel(model, tokens + 8)
    await using cluster = await connect()
    const prompt = Array.from({ length: tokens }, (_, i) => 3 + ((i * 37) % 500))
    // The first chunk's heads are exchanged, and the queries of the last ones passed, which are few beside what is cached.
    const chunkTokens = Math.ceil(tokens / 12)
    const found: Found[] = []
    for (const sequence of [1, ranks]) {
      const engine = await Engine.start(cluster, {
        model,
        chunkTokens,
        maxSequences: 1,
        threads: 1,
        plan: { sequence },
      })
      const held = engine.workers.map(({ kvBytes }) => kvBytes)
      t.is(held.length, sequence)
      // And room for the answer, which is one more block at most.
      const most = (tokens / sequence + 2 * BLOCK_TOKENS) * kvBytesPerToken
      t.true(Math.max(...held) <= most, `${held} bytes of keys and values, more than ${most}`)
      const result: Found = { tokens: [], logits: new Float32Array() }
      for await (const { token, logits } of engine.generate(prompt, {
        maxTokens: 4,
        stopAtEnd: false,
        wantLogits: true,
      })) {
        result.tokens.push(token)
        result.logits = logits ?? result.logits
      }
      found.push(result)
      await engine.stop()
    }
    const [alone, shared] = found
    t.deepEqual(shared!.tokens, alone!.tokens)
    const worst = alone!.logits.reduce((most, logit, i) => Math.max(most, Math.abs(logit - shared!.logits[i]!)), 0)
    t.true(alone!.logits.length === 512 && worst <= 1e-3, `logits differ by ${worst}`)
  },
)
