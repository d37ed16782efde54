import { z } from 'zod'
import { ApiError, badRequest } from '../http/api-error.js'
import type { App, Service } from '../http/service.js'
import { asList, oneOrMore } from './completion-body.js'

const embeddingBody = z.object({
  model: z.string(),
  input: oneOrMore,
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z.int().min(1).nullish(),
  user: z.string().nullish(),
})

/** `POST /v1/embeddings`. */
export function embeddingRoutes(app: App, service: Service): void {
  app.post(
    '/v1/embeddings',
    { schema: { body: embeddingBody, tags: ['OpenAI'], summary: 'Vectors for texts' }, config: { generates: true } },
    async ({ body }) => {
      service.checkModel(body.model)
      const { model } = service
      if (!model.embed) throw new ApiError(400, 'the model that is served gives no embeddings', 'unsupported_operation')
      const { embeddings, usage } = await model.embed(asList(body.input))
      const data = embeddings.map((vector, index) => {
        const part = body.dimensions ? shortened(vector, body.dimensions) : vector
        return { object: 'embedding', index, embedding: body.encoding_format === 'base64' ? base64(part) : [...part] }
      })
      const { promptTokens } = usage
      return {
        object: 'list',
        model: service.names[0],
        data,
        usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
      }
    },
  )
}

/** The first numbers of a vector, of length 1 again. */
function shortened(vector: Float32Array, dimensions: number): Float32Array {
  if (dimensions > vector.length) {
    throw badRequest(`dimensions must be at most ${vector.length}, found ${dimensions}`, 'dimensions')
  }
  const part = vector.slice(0, dimensions)
  const norm = Math.hypot(...part)
  return norm === 0 ? part : part.map((value) => value / norm)
}

/** Float32 in the order of bytes that clients expect, the least first. */
function base64(vector: Float32Array): string {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64')
}
