import { z } from 'zod'
import type { App, Service } from '../http/service.js'

/** `GET /v1/models`, and one of them by its name. */
export function modelRoutes(app: App, service: Service): void {
  const body = (id: string) => ({
    id,
    object: 'model',
    created: service.created,
    owned_by: 'troupe',
    max_model_len: service.model.contextLength,
    // What Anthropic's clients look for.
    type: 'model',
    display_name: id,
    created_at: new Date(service.created * 1000).toISOString(),
  })
  const [first] = service.names
  const last = service.names.at(-1)
  app.get('/v1/models', { schema: { tags: ['OpenAI'], summary: 'The names of the model' } }, async () => {
    return { object: 'list', data: service.names.map(body), has_more: false, first_id: first, last_id: last }
  })
  const params = z.object({ '*': z.string() })
  app.get('/v1/models/*', { schema: { params, tags: ['OpenAI'], summary: 'The model of a name' } }, async (request) => {
    const name = request.params['*']
    service.checkModel(name)
    return body(name)
  })
}
