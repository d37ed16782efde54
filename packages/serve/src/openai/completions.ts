import type { FinishReason, GenerationChunk, GenerationResult, Stream, TokenLogProbs, Usage } from '@troupe/llm'
import type { Work } from '../http/admission.js'
import type { ServerEvent } from '../http/event-stream.js'
import { merged } from '../http/merged.js'
import { type App, type Service, workOf } from '../http/service.js'
import { asList, type CompletionBody, completionBody, completionParamsOf } from './completion-body.js'
import { DONE, errorEvent, finite, newId, unixTime, usageBody } from './shapes.js'

/** A prompt that is continued: what is said of it, and the answers to it. */
interface Continued {
  echo: string
  stream: Stream<GenerationChunk, GenerationResult>
}

/** `POST /v1/completions`. */
export function completionRoutes(app: App, service: Service): void {
  app.post(
    '/v1/completions',
    { schema: { body: completionBody, tags: ['OpenAI'], summary: 'Continues texts' }, config: { generates: true } },
    async (request, reply) => {
      const { body } = request
      service.checkModel(body.model)
      const params = completionParamsOf(body)
      const work = workOf(request)
      const { tokenizer } = service.model
      const continued: Continued[] = []
      try {
        for (const prompt of asList(body.prompt)) {
          const text = typeof prompt === 'string' ? prompt : body.echo ? tokenizer.decode(prompt) : ''
          const stream = service.model.generate(prompt, { ...params, signal: work.signal })
          continued.push({ echo: body.echo ? text : '', stream })
        }
      } catch (error) {
        for (const { stream } of continued) void stream[Symbol.asyncIterator]().return?.()
        throw error
      }
      const head = { id: newId('cmpl-'), object: 'text_completion', created: unixTime(), model: service.names[0] }
      if (body.stream) return service.sendEvents(reply, chunksOf(service, work, continued, body, head), errorEvent)
      const results = await Promise.all(continued.map(({ stream }) => service.complete(work, stream)))
      const choices = results.flatMap(({ choices: answers }, place) => {
        const { echo } = continued[place]!
        return answers.map(({ index, text, logProbs, finishReason }) => ({
          index: place * (body.n ?? 1) + index,
          text: echo + text,
          logprobs: new TextOffsets().body(logProbs),
          finish_reason: finishReason,
        }))
      })
      return { ...head, choices, usage: usageBody(total(results.map(({ usage }) => usage))) }
    },
  )
}

async function* chunksOf(
  service: Service,
  work: Work,
  continued: readonly Continued[],
  { n, stream_options }: CompletionBody,
  head: object,
): AsyncGenerator<ServerEvent, void, void> {
  const wantsUsage = stream_options?.include_usage === true
  const offsets = new Map<number, TextOffsets>()
  for await (const [place, chunk] of merged(continued.map(({ stream }) => service.follow(work, stream)))) {
    const index = place * (n ?? 1) + chunk.index
    const isFirst = !offsets.has(index)
    if (isFirst) offsets.set(index, new TextOffsets())
    const choice = {
      index,
      text: (isFirst ? continued[place]!.echo : '') + chunk.text,
      logprobs: offsets.get(index)!.body(chunk.logProbs),
      finish_reason: (chunk.finishReason ?? null) as FinishReason | null,
    }
    yield { data: { ...head, choices: [choice], ...(wantsUsage ? { usage: null } : {}) } }
  }
  if (wantsUsage) {
    const usage = usageBody(total(continued.map(({ stream }) => stream.usage)))
    yield { data: { ...head, choices: [], usage } }
  }
  yield DONE
}

function total(usages: readonly Usage[]): Usage {
  return usages.reduce((sum, other) => ({
    promptTokens: sum.promptTokens + other.promptTokens,
    cachedTokens: sum.cachedTokens + other.cachedTokens,
    completionTokens: sum.completionTokens + other.completionTokens,
  }))
}

/** Log-probabilities in the shape of completions, which says of each token where its text begins. */
class TextOffsets {
  #offset = 0

  body(logProbs: readonly TokenLogProbs[] | undefined): object | null {
    if (logProbs === undefined) return null
    return {
      tokens: logProbs.map(({ text }) => text),
      token_logprobs: logProbs.map(({ logProb }) => finite(logProb)),
      top_logprobs: logProbs.map(({ top }) =>
        Object.fromEntries(top.map(({ text, logProb }) => [text, finite(logProb)])),
      ),
      text_offset: logProbs.map(({ text }) => {
        const here = this.#offset
        this.#offset += text.length
        return here
      }),
    }
  }
}
