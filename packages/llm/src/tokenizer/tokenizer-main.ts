import type { Tokenizer } from 'tokenizers'
import type { Answer, Question, Reply, Sent } from './tokenizer-protocol.js'
import { tokenizersLibrary } from './tokenizers-library.js'

const tokenizers = new Map<number, Tokenizer>()

process.on('disconnect', () => process.exit())
process.on('message', (request: Sent) => {
  handle(request).then(
    (value) => reply({ value }),
    (error: unknown) => reply({ error: String((error as Error).message) }),
  )
})

function reply(reply: Reply): void {
  if (process.connected) process.send!(reply)
}

async function handle(request: Sent): Promise<unknown> {
  switch (request.kind) {
    case 'load':
      return load(request.tokenizer, request.json)
    case 'forget':
      return tokenizers.delete(request.tokenizer)
    case 'pieces':
      return pieces(tokenizers.get(request.tokenizer)!, request)
    case 'encode': {
      const { tokenizer, text, addSpecialTokens } = request
      const encoding = await tokenizers.get(tokenizer)!.encode(text, null, { addSpecialTokens })
      return Uint32Array.from(encoding.getIds())
    }
  }
}

/** Prompts are neither cut off nor filled up, whatever the file asks for in training. */
function load(key: number, json: string): void {
  const tokenizer = tokenizersLibrary().Tokenizer.fromString(json)
  tokenizer.disableTruncation()
  tokenizer.disablePadding()
  tokenizers.set(key, tokenizer)
}

function pieces(tokenizer: Tokenizer, { ids, added }: Question['pieces']): Answer['pieces'] {
  const given = added.flatMap((content) => tokenizer.tokenToId(content) ?? [])
  const known: [id: number, piece: string][] = []
  for (const id of new Set([...ids, ...given])) {
    const piece = tokenizer.idToToken(id)
    if (piece !== null) known.push([id, piece])
  }
  return { ids: Uint32Array.from(known, ([id]) => id), pieces: known.map(([, piece]) => piece) }
}
