import { Deferred } from '../common/deferred.js'

/** A receive that waits keeps the process alive, so after these milliseconds it is asked anew whether it still has to. */
const UNREF_INTERVAL = 500
/** Milliseconds between two looks at what has come in, while it need not. */
const LOOK_INTERVAL = 50

/** Lets a process end while nothing is awaited although one of its ZeroMQ sockets could still receive something. */
export class SocketUnref {
  readonly #socket: { receiveTimeout: number }
  readonly #mayUnref: () => boolean
  #paused: Deferred | undefined

  constructor(socket: { receiveTimeout: number }, mayUnref: () => boolean) {
    this.#socket = socket
    this.#mayUnref = mayUnref
  }

  /** Comes before each receive, which then waits no longer than it may. */
  async before(): Promise<void> {
    if (!this.#mayUnref()) {
      this.#socket.receiveTimeout = UNREF_INTERVAL
      return
    }
    this.#paused = new Deferred()
    setTimeout(this.#paused.resolve, LOOK_INTERVAL).unref()
    await this.#paused.promise
    this.#socket.receiveTimeout = 0
  }

  /** Goes back to receiving. */
  ref(): void {
    this.#paused?.resolve()
  }
}
