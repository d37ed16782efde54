import type { ExecutionContext } from 'ava'
import type { ServeOptions } from '../options.js'
import { type RunningServer, serve } from '../server.js'
import { ScriptedModel } from './scripted-model.js'

/** A server of a scripted model, and what asks it. */
export interface Served {
  model: ScriptedModel
  server: RunningServer
  /** Errors that were the server's own. */
  errors: unknown[]
  /** Sends a body, as JSON unless it is a text. */
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>
  /** Resolves when no generation and no request is under way; fails after ten seconds. */
  idle(): Promise<void>
}

/** Serves a scripted model until the test ends, when nothing may be under way and no error have been the server's own. */
export async function served(t: ExecutionContext, options: ServeOptions = {}): Promise<Served> {
  const model = new ScriptedModel()
  const errors: unknown[] = []
  const server = await serve(model, { port: 0, onError: (error) => errors.push(error), ...options })
  t.teardown(() => server.close())
  return {
    model,
    server,
    errors,
    post: (path, body, init = {}) =>
      fetch(`${server.url}${path}`, {
        method: 'POST',
        body: typeof body === 'string' ? body : JSON.stringify(body),
        ...init,
        headers: { 'content-type': 'application/json', ...(init.headers as Record<string, string>) },
      }),
    idle: async () => {
      for (let round = 0; round < 1000 && (model.active > 0 || server.requests > 0); round++) {
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      t.is(model.active, 0, 'generations under way')
      t.is(server.requests, 0, 'requests under way')
    },
  }
}

/** Something that can be waited for, and is let happen. */
export function gate(): { opened: Promise<void>; open(): void } {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}
