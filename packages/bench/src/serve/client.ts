import { Agent, type IncomingMessage, request } from 'node:http'
import { BenchmarkError } from '../benchmark.js'

/** What a request got, with its times in milliseconds. */
export interface Answer {
  text: string
  /** Tokens that were generated. */
  tokens: number
  /** From when it was sent to its first text, and to its end. */
  first: number
  total: number
}

/** A client of `/v1/completions` that keeps its connections. */
export class Client {
  readonly #agent = new Agent({ keepAlive: true })

  /** @param model the name that the server has for its model */
  private constructor(
    private readonly url: string,
    private readonly model: string,
  ) {}

  /** A client of a server, which is asked for the name of its model. */
  static async of(url: string): Promise<Client> {
    const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] }
    return new Client(url, data[0]!.id)
  }

  /**
   * The likeliest text of exactly so many tokens after a prompt, streamed; undefined if the server has too much to do.
   * @throws BenchmarkError if the server answers with another error
   */
  async ask(prompt: readonly number[], tokens: number): Promise<Answer | undefined> {
    const body = JSON.stringify({
      ...{ model: this.model, prompt, max_tokens: tokens, temperature: 0, ignore_eos: true },
      ...{ stream: true, stream_options: { include_usage: true } },
    })
    const sent = performance.now()
    const response = await this.#post(body)
    if (response.statusCode === 429) {
      response.resume()
      return undefined
    }
    response.setEncoding('utf8')
    let rest = ''
    const answer = { text: '', tokens: 0, first: 0, total: 0 }
    for await (const part of response) {
      const lines = (rest + part).split('\n')
      rest = lines.pop()!
      for (const line of lines) {
        if (!line.startsWith('data: {')) continue
        const { choices, usage, error } = JSON.parse(line.slice('data: '.length))
        if (error) throw new BenchmarkError(`the server failed: ${error.message}`)
        if (usage) answer.tokens = usage.completion_tokens
        const text = choices?.[0]?.text ?? ''
        if (text === '') continue
        answer.text += text
        answer.first ||= performance.now() - sent
      }
    }
    if (response.statusCode !== 200) throw new BenchmarkError(`the server answered ${response.statusCode}: ${rest}`)
    answer.total = performance.now() - sent
    return answer
  }

  /** As ask(), of a server that has room. */
  async answer(prompt: readonly number[], tokens: number): Promise<Answer> {
    const answer = await this.ask(prompt, tokens)
    if (answer === undefined) throw new BenchmarkError('the server takes no further request; raise its --max-queue')
    return answer
  }

  close(): void {
    this.#agent.destroy()
  }

  #post(body: string): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const sent = request(`${this.url}/v1/completions`, {
        method: 'POST',
        agent: this.#agent,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      })
      sent.on('response', resolve).on('error', reject).end(body)
    })
  }
}
