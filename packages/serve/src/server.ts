import cors from '@fastify/cors'
import { PortInUseError } from '@troupe/core'
import { type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { Admission } from './http/admission.js'
import { ApiError, apiErrorOf, apiOf, errorBody } from './http/api-error.js'
import { sanitizeBody } from './http/body.js'
import { KeyCheck } from './http/keys.js'
import { Metrics } from './http/metrics.js'
import { type App, Service } from './http/service.js'
import { validatorCompiler } from './http/validation.js'
import type { ServedModel } from './model.js'
import { type ServeOptions, type Settings, settingsOf } from './options.js'
import { addRoutes } from './routes.js'

/** A server that listens. */
export interface RunningServer {
  /** Where it listens, such as `http://127.0.0.1:8000`. */
  readonly url: string
  readonly port: number
  /** How many requests are under way. */
  readonly requests: number
  /**
   * Answers new requests with status 503, gives those that are under way `drainSeconds` to end, and stops listening. The
   * model is the caller's to close.
   */
  close(): Promise<void>
}

/**
 * Serves a model behind the APIs of OpenAI and Anthropic.
 * @throws PortInUseError if something else listens on the port
 */
export async function serve(model: ServedModel, options: ServeOptions = {}): Promise<RunningServer> {
  const settings = settingsOf(options)
  const admission = new Admission(settings.maxQueue)
  const metrics = new Metrics(admission, model)
  const names = settings.names ?? [model.name]
  const streams = { heartbeat: settings.heartbeatSeconds * 1000, stall: settings.stallSeconds * 1000 }
  const service = new Service(model, names, metrics, streams, settings.onError)
  const app = await makeApp(settings, service, admission)
  try {
    await app.listen({ host: settings.host, port: settings.port })
  } catch (error) {
    await app.close()
    throw listenError(error as NodeJS.ErrnoException, settings)
  }
  const { port } = app.server.address() as { port: number }
  const host = settings.host.includes(':') ? `[${settings.host}]` : settings.host
  let closing: Promise<void> | undefined
  return {
    url: `http://${host}:${port}`,
    port,
    get requests() {
      return admission.count
    },
    close: () => {
      closing ??= admission.drain(settings.drainSeconds * 1000).then(() => app.close())
      return closing
    },
  }
}

function listenError(error: NodeJS.ErrnoException, { host, port }: Settings): Error {
  if (error.code !== 'EADDRINUSE') return error
  return new PortInUseError(`port ${port} is in use on ${host}; choose another one or stop what listens there`)
}

async function makeApp(settings: Settings, service: Service, admission: Admission): Promise<App> {
  const app: App = fastify({
    bodyLimit: settings.maxBodyBytes,
    forceCloseConnections: true,
    requestTimeout: 120_000,
    routerOptions: { ignoreTrailingSlash: true },
    // A path that cannot be decoded is answered as any other that is not there.
    frameworkErrors: (_error, request, reply) => {
      void (reply as FastifyReply).status(404).send(errorBody(apiOf(request.url), unknownRoute(request)))
    },
  }).withTypeProvider<ZodTypeProvider>()
  app.removeContentTypeParser('text/plain')
  app.setValidatorCompiler(validatorCompiler)
  app.decorateRequest('work', undefined)
  const keys = new KeyCheck(settings.apiKeys)
  const { metrics } = service

  if (settings.corsOrigins !== undefined) {
    await app.register(cors, { origin: settings.corsOrigins === '*' ? '*' : [...settings.corsOrigins] })
  }
  app.addHook('onRequest', async (request, reply) => {
    const { isPublic = false, generates = false } = request.routeOptions.config
    if (!isPublic) keys.check(request)
    if (generates) request.work = admission.enter(reply.raw)
    else if (!isPublic) admission.checkOpen()
  })
  app.addHook('preValidation', async (request) => sanitizeBody(request.body))
  app.addHook('onResponse', async (request, reply) => {
    metrics.responded(request.routeOptions.url ?? 'unknown', reply.statusCode)
  })
  app.setErrorHandler((error, request, reply) => {
    const api = apiOf(request.url)
    const told = apiErrorOf(error, api)
    if (told.status === 500) service.report(error)
    return reply.status(told.status).headers(told.headers).send(errorBody(api, told))
  })
  app.setNotFoundHandler((request, reply) => {
    return reply.status(404).send(errorBody(apiOf(request.url), unknownRoute(request)))
  })
  await addRoutes(app, service, admission)
  return app
}

function unknownRoute({ method, url }: FastifyRequest): ApiError {
  const path = url.split('?')[0]!.slice(0, 200)
  return new ApiError(404, `no route ${method} ${path}; GET /openapi.json lists those that are there`, 'not_found')
}
