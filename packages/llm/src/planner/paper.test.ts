import test from 'ava'
import { grandTeton, llama405B, paperCases } from '../testing/context-parallelism-paper.js'
import { isInfeasible, Simulator } from './simulate.js'

for (const paperCase of paperCases) {
  const { source, tokens, cached = 0, sequence, tensor } = paperCase
  const name = `${tokens} tokens, ${cached} of them cached, sequence ${sequence}, tensor ${tensor} (${source})`
  test(`Llama 3 405B is predicted within 25 % of the Context Parallelism paper: ${name}`, (t) => {
    const cluster = grandTeton(Math.ceil((sequence * tensor) / 8))
    const workload = {
      promptTokens: tokens,
      // The paper's time per token is at the prompt's length.
      outputTokens: 2,
      concurrency: 1,
      chunkTokens: tokens,
      cachedTokens: cached,
      objective: 'latency' as const,
    }
    const predicted = new Simulator(cluster, llama405B, workload).simulate({
      plan: { pipeline: 1, tensor, sequence },
      replicas: 1,
    })
    if (isInfeasible(predicted)) return t.fail(predicted.reason)
    const within = (figure: string, actual: number, expected: number | undefined) => {
      if (expected === undefined) return
      const off = actual / expected - 1
      t.log(`${figure} ${actual.toPrecision(4)} s, paper ${expected} s: ${(100 * off).toFixed(1)} %`)
      t.true(Math.abs(off) <= 0.25, `${figure} is ${actual} s; the paper measured ${expected} s`)
    }
    within('time to first token', predicted.timeToFirstToken, paperCase.timeToFirstToken)
    within('time per token', predicted.timePerToken, paperCase.timePerToken)
  })
}
