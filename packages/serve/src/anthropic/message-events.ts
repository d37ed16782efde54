import type { ChatChunk, Usage } from '@troupe/llm'
import type { ServerEvent } from '../http/event-stream.js'
import { stopBody, usageBody } from './shapes.js'

/** A block that is being sent; a call of a tool is told from others by its place. */
type OpenBlock = { type: 'thinking' | 'text' } | { type: 'tool_use'; call: number }

/** A piece of a block. */
interface Piece {
  block: OpenBlock
  start: object
  delta: object | undefined
}

/**
 * The events of a message: its start, those of one block after the other, why it ended, and its end.
 * @param usage what the request has cost so far
 */
export async function* messageEvents(
  chunks: AsyncGenerator<ChatChunk, void, void>,
  usage: () => Usage,
  head: object,
): AsyncGenerator<ServerEvent, void, void> {
  let isBegun = false
  let open: OpenBlock | undefined
  let index = -1
  let last: Pick<ChatChunk, 'finishReason' | 'stopText'> = {}
  const start = () => {
    const message = { ...head, content: [], stop_reason: null, stop_sequence: null, usage: usageBody(usage()) }
    return [event('message_start', { message }), event('ping', {})]
  }
  for await (const chunk of chunks) {
    if (!isBegun) {
      isBegun = true
      yield* start()
    }
    for (const { block, start: content_block, delta } of piecesOf(chunk)) {
      if (open === undefined || !isSame(open, block)) {
        if (open !== undefined) yield event('content_block_stop', { index })
        open = block
        index++
        yield event('content_block_start', { index, content_block })
      }
      if (delta !== undefined) yield event('content_block_delta', { index, delta })
    }
    last = chunk
  }
  if (!isBegun) yield* start()
  if (open !== undefined) yield event('content_block_stop', { index })
  yield event('message_delta', { delta: stopBody(last), usage: usageBody(usage()) })
  yield event('message_stop', {})
}

function event(type: string, fields: object): ServerEvent {
  return { event: type, data: { type, ...fields } }
}

function isSame(one: OpenBlock, other: OpenBlock): boolean {
  if (one.type !== other.type) return false
  return one.type !== 'tool_use' || other.type !== 'tool_use' || one.call === other.call
}

function* piecesOf({ reasoning, content, toolCalls }: ChatChunk): Generator<Piece> {
  if (reasoning) {
    yield {
      block: { type: 'thinking' },
      start: { type: 'thinking', thinking: '', signature: '' },
      delta: { type: 'thinking_delta', thinking: reasoning },
    }
  }
  if (content) {
    yield {
      block: { type: 'text' },
      start: { type: 'text', text: '', citations: null },
      delta: { type: 'text_delta', text: content },
    }
  }
  for (const { index: call, id, name, arguments: added } of toolCalls ?? []) {
    yield {
      block: { type: 'tool_use', call },
      start: { type: 'tool_use', id, name, input: {} },
      delta: added ? { type: 'input_json_delta', partial_json: added } : undefined,
    }
  }
}
