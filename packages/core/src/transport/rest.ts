/** A receive that waits keeps the process alive, so after these milliseconds it is asked anew whether it may rest. */
const REST_INTERVAL = 500
/** Milliseconds between two looks at what has come in, during a rest. */
const LOOK_INTERVAL = 50

/** Lets a process end while nothing is awaited although one of its ZeroMQ sockets could still receive something. */
export class Rest {
  readonly #socket: { receiveTimeout: number }
  readonly #mayRest: () => boolean
  #end: (() => void) | undefined

  constructor(socket: { receiveTimeout: number }, mayRest: () => boolean) {
    this.#socket = socket
    this.#mayRest = mayRest
  }

  /** Comes before each receive, which then waits no longer than it may. */
  async before(): Promise<void> {
    if (!this.#mayRest()) {
      this.#socket.receiveTimeout = REST_INTERVAL
      return
    }
    await new Promise<void>((resolve) => {
      this.#end = resolve
      setTimeout(resolve, LOOK_INTERVAL).unref()
    })
    this.#socket.receiveTimeout = 0
  }

  /** Ends a rest. */
  wake(): void {
    this.#end?.()
  }
}
