import { InvalidInputError } from '../common/errors.js'
import type { Method } from '../common/method.js'
import type { Semaphore } from '../runtime/semaphore.js'
import { GraphPart } from './part.js'
import type { GraphService } from './protocol.js'

/** Finds what runs a method of this process's actor. */
export type BindMethod = (method: string) => { readonly run: Method; readonly semaphore: Semaphore }

/** The graphs that this process's actor is part of. */
export class GraphParts {
  readonly #parts = new Map<string, { readonly part: GraphPart; readonly driver: string }>()

  constructor(private readonly bind: BindMethod) {}

  /** The requests that a process which compiles graphs may make. */
  servedTo(driver: string): GraphService {
    return {
      prepareGraph: (spec) => {
        const part = new GraphPart(spec, this.bind)
        this.#parts.set(spec.graph, { part, driver })
        void part.ended.then(() => this.#parts.delete(spec.graph))
        return part.prepared
      },
      startGraph: (graph, wiring) => this.#part(graph).start(wiring),
      attendGraph: (graph) => this.#part(graph).ended,
      recordGraph: (graph, isRecording) => this.#part(graph).record(isRecording),
      endGraph: async (graph) => this.#parts.get(graph)?.part.end(),
    }
  }

  /** The process that compiled some of the graphs has gone. */
  driverGone(driver: string): void {
    for (const entry of this.#parts.values()) if (entry.driver === driver) void entry.part.end()
  }

  #part(graph: string): GraphPart {
    const entry = this.#parts.get(graph)
    if (!entry) throw new InvalidInputError(`this actor is in no graph ${graph}`)
    return entry.part
  }
}
