import type { EngineLoad, FinishReason, Usage } from '@troupe/llm'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { ServedModel } from '../model.js'
import type { Admission, Work } from './admission.js'

const TOKEN_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
const REQUEST_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640]

type Figure = readonly [name: string, help: string, pick: (load: EngineLoad) => number]

/** What the engine says of itself now. */
const LOAD_GAUGES: readonly Figure[] = [
  ['num_requests_running', 'Answers that are computed.', ({ running }) => running],
  ['num_requests_waiting', 'Answers that wait for a place or for room in the KV cache.', ({ waiting }) => waiting],
  ['kv_cache_blocks_used', 'Blocks of the KV cache that answers under way use.', ({ blocksUsed }) => blocksUsed],
  ['kv_cache_blocks', 'Blocks of the KV cache.', ({ blocks }) => blocks],
  ['kv_cache_usage_perc', 'The share of blocks in use, 0 to 1.', ({ blocksUsed, blocks }) => blocksUsed / blocks],
]

/** What the engine has counted. */
const LOAD_COUNTERS: readonly Figure[] = [
  ['prefix_cache_queries_total', 'Tokens of prompts looked for in the KV cache.', ({ queriedTokens }) => queriedTokens],
  ['prefix_cache_hits_total', 'Tokens of prompts found in the KV cache.', ({ cachedTokens }) => cachedTokens],
  ['num_preemptions_total', 'Answers that gave up their blocks for a while.', ({ preemptions }) => preemptions],
  ['engine_steps_total', 'Steps that workers were given.', ({ steps }) => steps],
  ['worker_restarts_total', "Replicas' workers that were started anew after a death.", ({ restarts }) => restarts],
]

/** What Prometheus is told, under vLLM's names with `troupe:` before them. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #registers = [this.#registry]
  readonly #responses = new Counter({
    name: 'troupe:http_responses_total',
    help: 'Responses, by route and status.',
    labelNames: ['route', 'status'],
    registers: this.#registers,
  })
  readonly #finished = new Counter({
    name: 'troupe:request_success_total',
    help: 'Answers that were completed, by why they ended.',
    labelNames: ['finished_reason'],
    registers: this.#registers,
  })
  readonly #promptTokens = new Counter({
    name: 'troupe:prompt_tokens_total',
    help: 'Tokens of prompts.',
    registers: this.#registers,
  })
  readonly #generationTokens = new Counter({
    name: 'troupe:generation_tokens_total',
    help: 'Tokens that were generated.',
    registers: this.#registers,
  })
  readonly #timeToFirstToken = new Histogram({
    name: 'troupe:time_to_first_token_seconds',
    help: 'From the request to its first token.',
    buckets: REQUEST_SECONDS,
    registers: this.#registers,
  })
  readonly #timePerToken = new Histogram({
    name: 'troupe:time_per_output_token_seconds',
    help: 'From a token of a stream to the next.',
    buckets: TOKEN_SECONDS,
    registers: this.#registers,
  })
  readonly #latency = new Histogram({
    name: 'troupe:e2e_request_latency_seconds',
    help: 'From the request to the end of its answer.',
    buckets: REQUEST_SECONDS,
    registers: this.#registers,
  })

  constructor(admission: Admission, model: ServedModel) {
    this.#registry.setDefaultLabels({ model_name: model.name })
    this.#gauge(
      'http_requests_in_flight',
      'Requests that generate and whose responses are open.',
      () => admission.count,
    )
    for (const [name, help, pick] of LOAD_GAUGES) this.#gauge(name, help, () => pick(model.load))
    for (const [name, help, pick] of LOAD_COUNTERS) {
      new Counter({
        name: `troupe:${name}`,
        help,
        registers: this.#registers,
        collect() {
          this.reset()
          this.inc(pick(model.load))
        },
      })
    }
  }

  /** An answer was sent, of whatever status. */
  responded(route: string, status: number): void {
    this.#responses.inc({ route, status })
  }

  /** The first token of a stream came so many milliseconds after the request. */
  firstToken(milliseconds: number): void {
    this.#timeToFirstToken.observe(milliseconds / 1000)
  }

  /** Tokens came so many milliseconds after those before them. */
  furtherTokens(milliseconds: number, count: number): void {
    for (let token = 0; token < count; token++) this.#timePerToken.observe(milliseconds / count / 1000)
  }

  /** An answer is complete. */
  finished(reason: FinishReason): void {
    this.#finished.inc({ finished_reason: reason })
  }

  /** A request has ended, complete or not. */
  ended({ began }: Work, usage: Usage): void {
    this.#latency.observe((performance.now() - began) / 1000)
    this.#promptTokens.inc(usage.promptTokens)
    this.#generationTokens.inc(usage.completionTokens)
  }

  #gauge(name: string, help: string, value: () => number): void {
    new Gauge({
      name: `troupe:${name}`,
      help,
      registers: this.#registers,
      collect() {
        this.set(value())
      },
    })
  }

  /** All of it, in Prometheus' text format. */
  async text(): Promise<{ type: string; text: string }> {
    return { type: this.#registry.contentType, text: await this.#registry.metrics() }
  }
}
