import type { AssistantMessage, ChatChunk, TokenLogProbs, ToolCall } from '@troupe/llm'
import { logProbsBody, newId } from '../openai/shapes.js'

/** An event before it is numbered. */
export interface OutputEvent {
  type: string
  [field: string]: unknown
}

/** An item that is being sent. */
interface Item {
  readonly kind: 'reasoning' | 'message' | `call ${number}`
  readonly id: string
  readonly place: number
  text: string
  readonly logProbs: TokenLogProbs[]
  readonly call?: { id: string; name: string }
}

type Status = 'in_progress' | 'completed' | 'incomplete'

/** The items of a response: thoughts, text and calls of tools, as chunks of a chat add to them. */
export class ResponseOutput {
  readonly #items: Item[] = []
  #open: Item | undefined;

  /** The events of what a chunk adds. */
  *add({ reasoning, content, toolCalls, logProbs }: ChatChunk): Generator<OutputEvent> {
    if (reasoning) yield* this.#delta('reasoning', reasoning)
    if (content) yield* this.#delta('message', content, logProbs)
    for (const { index, id, name, arguments: added } of toolCalls ?? []) {
      const call = { id: id ?? newId('call_'), name: name ?? '' }
      yield* this.#delta(`call ${index}`, added ?? '', undefined, call)
    }
  }

  /** The events of the end of the item that is being sent. */
  *end(status: Status = 'completed'): Generator<OutputEvent> {
    const item = this.#open
    if (item === undefined) return
    this.#open = undefined
    const place = placeOf(item)
    const { text } = item
    if (item.kind === 'message') {
      yield { type: 'response.output_text.done', ...place, text, logprobs: logProbsOf(item.logProbs) }
    }
    if (item.kind === 'reasoning') yield { type: 'response.reasoning_text.done', ...place, text }
    if (item.call) {
      yield { type: 'response.function_call_arguments.done', ...place, name: item.call.name, arguments: text }
    } else {
      yield { type: 'response.content_part.done', ...place, part: partOf(item) }
    }
    yield { type: 'response.output_item.done', output_index: item.place, item: itemBody(item, status) }
  }

  /** The items so far; the last of an answer that was cut off is incomplete. */
  body(status: Status): object[] {
    return this.#items.map((item, place) => {
      return itemBody(item, place === this.#items.length - 1 ? status : 'completed')
    })
  }

  /** The items as a message, to go on from. */
  message(): AssistantMessage {
    const texts = (kind: Item['kind']) => this.#items.filter((item) => item.kind === kind).map(({ text }) => text)
    const reasoning = texts('reasoning').join('')
    const content = texts('message').join('')
    const toolCalls = this.#items.flatMap(({ call, text }): ToolCall[] => (call ? [{ ...call, arguments: text }] : []))
    return {
      role: 'assistant',
      content: content === '' ? null : content,
      ...(reasoning === '' ? {} : { reasoning }),
      ...(toolCalls.length === 0 ? {} : { toolCalls }),
    }
  }

  *#delta(
    kind: Item['kind'],
    delta: string,
    logProbs: readonly TokenLogProbs[] = [],
    call?: Item['call'],
  ): Generator<OutputEvent> {
    if (this.#open?.kind !== kind) {
      yield* this.end()
      yield* this.#begin(kind, call)
    }
    const item = this.#open!
    item.text += delta
    item.logProbs.push(...logProbs)
    if (delta === '') return
    const place = placeOf(item)
    if (kind === 'message') {
      yield { type: 'response.output_text.delta', ...place, delta, logprobs: logProbsOf(logProbs) }
    } else if (kind === 'reasoning') {
      yield { type: 'response.reasoning_text.delta', ...place, delta }
    } else {
      yield { type: 'response.function_call_arguments.delta', ...place, delta }
    }
  }

  *#begin(kind: Item['kind'], call: Item['call']): Generator<OutputEvent> {
    const prefix = kind === 'message' ? 'msg_' : kind === 'reasoning' ? 'rs_' : 'fc_'
    const isCall = kind !== 'message' && kind !== 'reasoning'
    const item: Item = {
      ...{ kind, id: newId(prefix), place: this.#items.length, text: '', logProbs: [] },
      ...(isCall && call ? { call } : {}),
    }
    this.#open = item
    this.#items.push(item)
    const begun = itemBody(item, 'in_progress')
    yield { type: 'response.output_item.added', output_index: item.place, item: begun }
    if (!isCall) yield { type: 'response.content_part.added', ...placeOf(item), part: partOf(item) }
  }
}

function placeOf({ id, place, call }: Item): object {
  return { item_id: id, output_index: place, ...(call ? {} : { content_index: 0 }) }
}

function partOf({ kind, text, logProbs }: Item): object {
  if (kind === 'reasoning') return { type: 'reasoning_text', text }
  return { type: 'output_text', text, annotations: [], logprobs: logProbsOf(logProbs) }
}

function itemBody(item: Item, status: Status): object {
  const { id, kind, call, text } = item
  if (call) return { id, type: 'function_call', status, call_id: call.id, name: call.name, arguments: text }
  const content = status === 'in_progress' ? [] : [partOf(item)]
  if (kind === 'reasoning') return { id, type: 'reasoning', summary: [], content, status }
  return { id, type: 'message', status, role: 'assistant', content }
}

function logProbsOf(logProbs: readonly TokenLogProbs[]): unknown {
  return (logProbsBody(logProbs) as { content: unknown }).content
}
