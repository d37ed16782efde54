import type { Admission } from './http/admission.js'
import type { App, Service } from './http/service.js'
import { chatRoutes } from './openai/chat.js'

/** Every route of the server. */
export async function addRoutes(app: App, service: Service, _admission: Admission): Promise<void> {
  chatRoutes(app, service)
}
