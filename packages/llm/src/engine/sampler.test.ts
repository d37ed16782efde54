import test from 'ava'
import { logProbability, type Sampling, sample } from './sampler.js'

const logits = Float32Array.of(1, 3, 2, 3, -5)
const all: Sampling = { temperature: 1, topK: 0, topP: 1 }

/** How often each token is drawn by evenly spread random numbers, as shares. */
function shares(sampling: Sampling): number[] {
  const draws = 10_000
  const counts = Array(logits.length).fill(0)
  for (let i = 0; i < draws; i++) counts[sample(logits, sampling, i / draws)]++
  return counts.map((count) => count / draws)
}

function softmax(values: number[]): number[] {
  const weights = values.map(Math.exp)
  const total = weights.reduce((a, b) => a + b)
  return weights.map((weight) => weight / total)
}

const near = (a: number[], b: number[]) => a.every((value, i) => Math.abs(value - b[i]!) < 1e-3)

test('temperature 0 takes the likeliest token, the first of equals', (t) => {
  t.is(sample(logits, { ...all, temperature: 0 }, 0.99), 1)
})

test('tokens are drawn as often as softmax of the logits by the temperature says', (t) => {
  t.true(near(shares(all), softmax([...logits])))
  t.true(near(shares({ ...all, temperature: 2 }), softmax([...logits].map((logit) => logit / 2))))
})

test('top-k keeps the likeliest k in proportion', (t) => {
  t.true(near(shares({ ...all, topK: 2 }), [0, 0.5, 0, 0.5, 0]))
  t.is(sample(logits, { ...all, topK: 1 }, 0.999), 1)
})

test('top-p keeps the fewest tokens that reach the share', (t) => {
  t.true(near(shares({ ...all, topP: 0.5 }), [0, 0.5, 0, 0.5, 0]), 'each of the two has 0.40')
  t.true(near(shares({ ...all, topP: 0.39 }), [0, 1, 0, 0, 0]))
})

test('very large logits overflow nothing', (t) => {
  t.is(sample(Float32Array.of(1e30, 0), all, 0.5), 0)
})

test('log-probabilities are the logarithms of the softmax', (t) => {
  const found = [...logits.keys()].map((token) => logProbability(logits, token))
  t.true(near(found, softmax([...logits]).map(Math.log)))
  t.is(logProbability(Float32Array.of(1e30, 0), 0), 0)
})
