import type { Cost } from './layer-cost.js'
import { type SearchResult, score } from './search.js'
import type { Prediction } from './simulate.js'
import type { Workload } from './workload.js'

/** The names of the parts of a cost where it is said what a plan is bound by. */
const BOUNDS: Record<Exclude<keyof Cost, 'scheme'>, string> = {
  compute: 'arithmetic',
  memory: 'reading memory',
  overhead: 'starting operations',
  tensor: 'exchange between shards',
  sequence: 'exchange between chunks',
}

/** A plan in words: `2 replicas of pipeline 2 × tensor 4`. */
export function planName({ plan, replicas }: Pick<Prediction, 'plan' | 'replicas'>): string {
  const split = Object.entries(plan).flatMap(([dimension, size]) => (size > 1 ? [`${dimension} ${size}`] : []))
  const name = split.length > 0 ? split.join(' × ') : 'one worker'
  return replicas > 1 ? `${replicas} replicas of ${name}` : name
}

/** Why a search chose what it chose. */
export function explain({ chosen, fitting }: SearchResult, workload: Workload): string {
  if (!chosen) return 'no plan fits'
  const { objective } = workload
  const figure =
    objective === 'latency'
      ? `answers a request in ${chosen.requestSeconds.toPrecision(3)} s`
      : `gives ${chosen.throughput.toPrecision(3)} tokens/s`
  const best = fitting[0]!
  const next = fitting.find((other) => other !== chosen)
  const gain = next ? score(next, workload) / score(chosen, workload) - 1 : 0
  const compared = !next
    ? 'the only plan that fits'
    : best === chosen
      ? `${percent(gain)} better than the next, ${planName(next)}`
      : `within 1 % of the best, ${planName(best)}, with fewer workers`
  const prefill = `prefill is bound by ${bound(chosen, 'prefill')}`
  const decoding = workload.outputTokens > 1 ? `, decoding by ${bound(chosen, 'decode')}` : ''
  return `${planName(chosen)}: ${figure}, ${compared}; ${prefill}${decoding}`
}

/** The part that most of the time goes to, and its share. */
function bound({ stages }: Prediction, phase: 'prefill' | 'decode'): string {
  const parts = Object.entries(BOUNDS).map(([part, name]): [string, number] => [
    name,
    stages.reduce((sum, stage) => sum + stage[phase][part as keyof typeof BOUNDS], 0),
  ])
  const all = parts.reduce((sum, [, time]) => sum + time, 0)
  const [name, time] = parts.reduce((a, b) => (b[1] > a[1] ? b : a))
  return `${name} (${percent(time / all)})`
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`
}
