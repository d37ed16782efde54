/** Lines that may be on their way to a reader; further ones are dropped, and counted, until it has caught up. */
const MOST_UNREAD = 5000

/** Sends lines of output to a process that may lag, and keeps no more of them than a bound. */
export class LogSender {
  readonly #send: (line: string, of: string) => Promise<unknown>
  #unread = 0
  #dropped = 0

  /**
   * @param send is given a line, and whose it is, and resolves when the reader has taken it in
   */
  constructor(send: (line: string, of: string) => Promise<unknown>) {
    this.#send = send
  }

  send(line: string, of = ''): void {
    if (this.#unread >= MOST_UNREAD) {
      this.#dropped += 1
      return
    }
    this.#unread += 1
    const taken = () => {
      this.#unread -= 1
      if (this.#dropped === 0 || this.#unread > MOST_UNREAD / 2) return
      const dropped = this.#dropped
      this.#dropped = 0
      this.send(`(${dropped} lines, perhaps of others too, were left out: they came faster than they were read)`, of)
    }
    this.#send(line, of).then(taken, taken)
  }
}
