import type { FinishReason, Usage } from '@troupe/llm'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Admission, Work } from './admission.js'

const TOKEN_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
const REQUEST_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640]

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
  readonly #cachedTokens = new Counter({
    name: 'troupe:prefix_cache_hits_total',
    help: 'Tokens of prompts that were found in the KV cache.',
    registers: this.#registers,
  })
  readonly #generationTokens = new Counter({
    name: 'troupe:generation_tokens_total',
    help: 'Tokens that were generated.',
    registers: this.#registers,
  })
  readonly #timeToFirstToken = new Histogram({
    name: 'troupe:time_to_first_token_seconds',
    help: 'From the request to the first token of a stream.',
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

  constructor(admission: Admission, model: string) {
    this.#registry.setDefaultLabels({ model_name: model })
    new Gauge({
      name: 'troupe:num_requests_running',
      help: 'Requests that are under way.',
      registers: this.#registers,
      collect() {
        this.set(admission.count)
      },
    })
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
    this.#cachedTokens.inc(usage.cachedTokens)
    this.#generationTokens.inc(usage.completionTokens)
  }

  /** All of it, in Prometheus' text format. */
  async text(): Promise<{ type: string; text: string }> {
    return { type: this.#registry.contentType, text: await this.#registry.metrics() }
  }
}
