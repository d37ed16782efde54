import { Tensor, Trace } from '@troupe/tensor'
import test from 'ava'
import fc from 'fast-check'
import { logProbability, NO_DRAW, NOT_A_NUMBER, type Sampling, samplingRow } from './sampler.js'

/** Draws with each of some random numbers from the same logits. */
async function draw(
  logits: readonly number[],
  samplings: readonly Sampling[],
  randoms: readonly number[],
): Promise<number[]> {
  const trace = new Trace()
  const rows = trace.symbol('rows', randoms.length)
  const table = Tensor.from('float32', [1, logits.length], [...logits])
  const repeated = trace.embedding(trace.input('zeros', rows), trace.constant(table))
  const tokens = trace.sample(repeated, trace.input('settings', rows, 4))
  const program = trace.compile({ tokens }, { threads: 2 })
  program.inputs.settings!.set(randoms.flatMap((random, i) => samplingRow(samplings[i % samplings.length]!, random)))
  await program.run({ rows: randoms.length })
  const { data } = program.outputs.tokens!
  return Array.from(new Int32Array(data.buffer, data.byteOffset, randoms.length))
}

const logits = [1, 3, 2, 3, -5]
const all: Sampling = { temperature: 1, topK: 0, topP: 1 }
const softmax = (values: readonly number[]) => {
  const weights = values.map(Math.exp)
  const total = weights.reduce((a, b) => a + b)
  return weights.map((weight) => weight / total)
}

/** How often each token is drawn by evenly spread random numbers, as shares. */
async function shares(sampling: Sampling): Promise<number[]> {
  const draws = 10_000
  const counts = Array(logits.length).fill(0)
  const drawn = await draw(
    logits,
    [sampling],
    Array.from({ length: draws }, (_, i) => i / draws),
  )
  for (const token of drawn) counts[token]++
  return counts.map((count) => count / draws)
}

const near = (found: readonly number[], expected: readonly number[]) =>
  found.every((share, i) => Math.abs(share - expected[i]!) < 1e-3)

test('temperature 0 takes the likeliest token, the first of several, and a negative one none', async (t) => {
  t.deepEqual(await draw(logits, [{ ...all, temperature: 0 }, NO_DRAW], [0.9, 0.9]), [1, -1])
})

test('logits that are no numbers give no token, wherever they are and however it is chosen', async (t) => {
  const samplings: Sampling[] = [{ ...all, temperature: 0 }, all, { ...all, topK: 2 }, { ...all, topP: 0.5 }, NO_DRAW]
  const randoms = samplings.map(() => 0.5)
  for (const count of [1, 5, 16, 700]) {
    for (const at of [0, Math.floor(count / 2), count - 1]) {
      for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY]) {
        const row = Array.from({ length: count }, (_, i) => (i === at ? wrong : -i))
        t.deepEqual(await draw(row, samplings, randoms), [...Array(4).fill(NOT_A_NUMBER), -1], `${wrong} at ${at}`)
      }
    }
    const none = Array(count).fill(Number.NEGATIVE_INFINITY)
    t.deepEqual(await draw(none, samplings, randoms), [...Array(4).fill(NOT_A_NUMBER), -1])
    t.deepEqual(
      await draw([...none, 1], samplings.slice(0, 4), randoms.slice(1)),
      Array(4).fill(count),
      'a mask is no fault',
    )
  }
})

test('tokens are drawn as often as the softmax of the logits over the temperature says', async (t) => {
  t.true(near(await shares(all), softmax(logits)))
  t.true(near(await shares({ ...all, temperature: 2 }), softmax(logits.map((logit) => logit / 2))))
})

test('topK and topP leave out the unlikely tokens, and the rest keep their proportions', async (t) => {
  const [, one, two, three] = softmax(logits)
  t.true(near(await shares({ ...all, topK: 2 }), [0, 0.5, 0, 0.5, 0]))
  const kept = one! + two! + three!
  t.true(near(await shares({ ...all, topP: one! + three! + 0.01 }), [0, one! / kept, two! / kept, three! / kept, 0]))
  t.true(near(await shares({ ...all, topK: 3, topP: 0.3 }), [0, 1, 0, 0, 0]))
})

test('over any logits, what topK and topP draw from is the shortest list of the likeliest that reaches topP', async (t) => {
  const values = fc.array(fc.double({ min: -8, max: 8, noNaN: true }), { minLength: 1, maxLength: 700 })
  await fc.assert(
    fc.asyncProperty(
      values,
      fc.nat(300),
      fc.double({ min: 0.05, max: 0.95, noNaN: true }),
      async (values, topK, topP) => {
        const rounded = [...Float32Array.from(values)]
        const order = [...rounded.keys()].sort((a, b) => rounded[b]! - rounded[a]! || a - b).slice(0, topK || undefined)
        const weights = order.map((token) => Math.exp(rounded[token]!))
        const total = weights.reduce((a, b) => a + b)
        let reached = 0
        // A token more or less where float32 and float64 disagree about having reached topP.
        const most = weights.filter((weight) => {
          const before = reached
          reached += weight
          return before < (topP + 1e-6) * total
        }).length
        const drawn = await draw(rounded, [{ temperature: 1, topK, topP }], [0, 0.25, 0.5, 0.75, 0.999999])
        t.true(drawn.every((token) => order.indexOf(token) >= 0 && order.indexOf(token) < most))
        t.is(drawn[0], order[0])
      },
    ),
    { numRuns: 50 },
  )
})

test('very large logits overflow nothing', async (t) => {
  t.deepEqual(await draw([1e30, 0], [all], [0.5]), [0])
  t.is(logProbability(Float32Array.of(1e30, 0), 0), 0)
})

test('a log-probability is the logarithm of the softmax', (t) => {
  const values = Float32Array.from(logits)
  t.true(
    near(
      logits.map((_, token) => Math.exp(logProbability(values, token))),
      softmax(logits),
    ),
  )
})
