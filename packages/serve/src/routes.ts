import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { jsonSchemaTransform } from 'fastify-type-provider-zod'
import { messageRoutes } from './anthropic/messages.js'
import type { Admission } from './http/admission.js'
import type { App, Service } from './http/service.js'
import { chatRoutes } from './openai/chat.js'
import { completionRoutes } from './openai/completions.js'
import { embeddingRoutes } from './openai/embeddings.js'
import { modelRoutes } from './openai/models.js'
import { responseRoutes } from './responses/responses.js'
import { stateRoutes } from './state-routes.js'
import { textRoutes } from './text-routes.js'

/** Every route of the server, and the page that describes them. */
export async function addRoutes(app: App, service: Service, admission: Admission): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Troupe', description: `The model ${service.names[0]}`, version: '1' },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      security: [{ key: [] }],
    },
    transform: jsonSchemaTransform,
  })
  await app.register(async (page) => {
    page.addHook('onRoute', (route) => {
      route.config = { ...route.config, isPublic: true }
    })
    await page.register(swaggerUi, { routePrefix: '/docs' })
  })
  await app.register(async (routes: App) => {
    chatRoutes(routes, service)
    completionRoutes(routes, service)
    embeddingRoutes(routes, service)
    modelRoutes(routes, service)
    responseRoutes(routes, service)
    messageRoutes(routes, service)
    textRoutes(routes, service)
    stateRoutes(routes, service, admission)
    const description = { schema: { hide: true }, config: { isPublic: true } }
    routes.get('/openapi.json', description, async () => app.swagger())
  })
}
