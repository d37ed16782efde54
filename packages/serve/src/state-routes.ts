import type { Admission } from './http/admission.js'
import type { App, Service } from './http/service.js'

/** `GET /health` and `GET /metrics`. */
export function stateRoutes(app: App, service: Service, admission: Admission): void {
  app.get(
    '/health',
    { schema: { tags: ['State'], summary: 'Whether requests are taken' }, config: { isPublic: true } },
    async (_request, reply) => {
      const status = admission.isDraining ? 'draining' : 'ok'
      return reply.status(admission.isDraining ? 503 : 200).send({ status })
    },
  )
  app.get('/metrics', { schema: { tags: ['State'], summary: 'Figures for Prometheus' } }, async (_request, reply) => {
    const { type, text } = await service.metrics.text()
    return reply.type(type).send(text)
  })
}
