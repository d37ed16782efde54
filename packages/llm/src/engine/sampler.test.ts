import { Tensor, Trace } from '@troupe/tensor'
import test from 'ava'
import fc from 'fast-check'
import {
  ADJUSTMENT_COLUMNS,
  type Draw,
  logProbability,
  NO_DRAW,
  NOT_A_NUMBER,
  neutralAdjustments,
  type Sampling,
  samplingRow,
  stepSampling,
} from './sampler.js'

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

/** A text's logits, what it has, and how its next token is drawn. */
interface Case {
  logits: number[]
  prompt: number[]
  generated: number[]
  draw: Draw
}

/** Draws a token of each, and counts it; gives the tokens, the log-probabilities and how often each was counted. */
async function drawAdjusted(cases: readonly Case[], most: number) {
  const vocabulary = cases[0]!.logits.length
  const trace = new Trace()
  const rows = trace.symbol('rows', cases.length)
  const table = Tensor.from(
    'float32',
    [cases.length, vocabulary],
    cases.flatMap(({ logits }) => logits),
  )
  const counted = Tensor.zeros('int32', [cases.length, vocabulary])
  cases.forEach(({ prompt, generated }, row) => {
    for (const token of prompt) counted.data[row * vocabulary + token] = 2 ** 30
    for (const token of generated) counted.data[row * vocabulary + token]!++
  })
  const logits = trace.embedding(trace.input('index', rows), trace.constant(table))
  const counts = trace.constant(counted)
  const tokens = trace.sample(logits, trace.input('settings', rows, 4), {
    adjustments: trace.input('adjustments', rows, ADJUSTMENT_COLUMNS),
    biases: trace.input('biases', trace.symbol('biases', 100), 2),
    counts,
    masks: trace.input('masks', trace.symbol('masks', cases.length), Math.ceil(vocabulary / 32)),
  })
  trace.countTokens(tokens, trace.input('countRows', rows), counts)
  const logProbs = trace.logProbs(logits, tokens, trace.input('wanted', rows), most)
  const program = trace.compile({ tokens, logProbs }, { threads: 2 })
  const sampling = stepSampling(cases.map(({ draw }) => draw))
  const { settings, adjustments = neutralAdjustments(cases.length), biases = [], masks = [], countRows } = sampling
  const values = { index: [...cases.keys()], settings, adjustments, biases, masks: masks.flatMap((mask) => [...mask]) }
  for (const [name, numbers] of Object.entries(values)) program.inputs[name]!.set(numbers)
  program.inputs.countRows!.set(countRows ?? cases.map(() => -1))
  program.inputs.wanted!.set(sampling.logProbs ?? cases.map(() => -1))
  await program.run({ rows: cases.length, biases: biases.length / 2, masks: masks.length })
  const { data } = program.outputs.tokens!
  return {
    tokens: Array.from(new Int32Array(data.buffer, data.byteOffset, cases.length)),
    logProbs: cases.map((_, row) => [
      ...program.outputs.logProbs!.data.slice(row * (1 + 2 * most), (row + 1) * (1 + 2 * most)),
    ]),
    counts: cases.map((_, row) => [...counted.data.slice(row * vocabulary, (row + 1) * vocabulary)]),
  }
}

/** The logits that a token is drawn from, as the definitions of the parameters say. */
function adjusted({ logits, prompt, generated, draw: { sampling, biases, mask } }: Case): number[] {
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = sampling
  return logits.map((logit, token) => {
    const times = generated.filter((other) => other === token).length
    let changed = logit
    if (times > 0 || prompt.includes(token))
      changed = changed > 0 ? changed / repetitionPenalty : changed * repetitionPenalty
    if (times > 0) changed -= presencePenalty + frequencyPenalty * times
    for (const [biased, bias] of biases) if (biased === token) changed += bias
    return mask && !((mask[token >> 5]! >>> (token & 31)) & 1) ? Number.NEGATIVE_INFINITY : changed
  })
}

test('over any logits, penalties, biases, masks and minP, the token is what the definitions of the parameters say', async (t) => {
  const vocabulary = 70
  const token = fc.nat(vocabulary - 1)
  const tokens = fc.array(token, { maxLength: 12 })
  const number = (min: number, max: number) => fc.double({ min, max, noNaN: true })
  const cases = fc.record({
    logits: fc.array(number(-5, 5), { minLength: vocabulary, maxLength: vocabulary }),
    prompt: tokens,
    generated: tokens,
    draw: fc.record({
      sampling: fc.record({
        temperature: fc.constantFrom(0, 0.7, 1),
        topK: fc.constantFrom(0, 5),
        topP: fc.constantFrom(1, 0.8),
        minP: fc.constantFrom(0, 0.2),
        repetitionPenalty: fc.constantFrom(1, 1.3),
        presencePenalty: fc.constantFrom(0, 0.6),
        frequencyPenalty: fc.constantFrom(0, 0.4),
      }),
      random: fc.double({ min: 0, max: 0.999, noNaN: true }),
      biases: fc.array(fc.tuple(token, fc.constantFrom(-2, 3, Number.NEGATIVE_INFINITY)), { maxLength: 4 }),
      mask: fc.option(fc.array(fc.integer(), { minLength: 3, maxLength: 3 }), { nil: undefined }),
      logProbs: fc.constantFrom(undefined, 0, 3),
    }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(cases, { minLength: 1, maxLength: 6 }), async (given) => {
      const all = given.map(({ draw, ...rest }, row) => {
        const mask = draw.mask && Int32Array.from(draw.mask, (word, i) => (i === 0 ? word | (1 << row) : word))
        // At least one token is left.
        const biases = draw.biases.filter(([biased]) => biased !== row)
        return { ...rest, draw: { ...draw, row, mask, biases } }
      })
      const found = await drawAdjusted(all, 3)
      all.forEach((each, row) => {
        const { sampling, random, logProbs } = each.draw
        const logits = adjusted(each)
        const drawn = found.tokens[row]!
        const best = Math.max(...logits)
        const weights = logits.map((logit) => Math.exp((logit - best) / (sampling.temperature || 1)))
        if (sampling.temperature === 0) t.true(logits[drawn]! > best - 1e-4)
        else {
          t.true(weights[drawn]! >= sampling.minP - 1e-5)
          const likelier = weights.filter((weight) => weight > weights[drawn]! + 1e-5)
          if (sampling.topK > 0) t.true(likelier.length < sampling.topK)
          const total = weights.filter((weight) => weight >= sampling.minP).reduce((a, b) => a + b)
          if (sampling.topP < 1 && sampling.topK === 0) {
            t.true(likelier.reduce((a, b) => a + b, 0) <= (sampling.topP + 1e-4) * total)
          }
          t.true(random >= 0)
        }
        const isCounted =
          sampling.repetitionPenalty !== 1 || sampling.presencePenalty > 0 || sampling.frequencyPenalty > 0
        const before = each.generated.filter((other) => other === drawn).length
        t.is(found.counts[row]![drawn]! % 2 ** 30, before + (isCounted ? 1 : 0))
        if (logProbs === undefined) return
        const raw = Float32Array.from(each.logits)
        t.true(Math.abs(found.logProbs[row]![0]! - logProbability(raw, drawn)) < 1e-4)
        const order = [...raw.keys()].sort((a, b) => raw[b]! - raw[a]! || a - b).slice(0, logProbs)
        order.forEach((likely, i) => {
          t.is(found.logProbs[row]![1 + 2 * i], likely)
          t.true(Math.abs(found.logProbs[row]![2 + 2 * i]! - logProbability(raw, likely)) < 1e-4)
        })
      })
    }),
    { numRuns: 60 },
  )
})
