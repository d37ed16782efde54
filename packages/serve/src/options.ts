/** How a server listens, what it lets in, and what it waits for. */
export interface ServeOptions {
  /** The address to listen on. Default 127.0.0.1. */
  host?: string
  /** The port to listen on; 0 takes any free one. Default 8000. */
  port?: number
  /** Keys, one of which clients have to give; by default none is asked for. */
  apiKeys?: readonly string[]
  /** Names that clients may give the model, the first of which is what answers say. The model's own by default. */
  names?: readonly string[]
  /** The most requests at once, under way and waiting; further ones are answered with status 429. Default 256. */
  maxQueue?: number
  /** The most bytes of a body. Default 16 MiB. */
  maxBodyBytes?: number
  /** The origins whose pages may call the server from a browser: `*` for all. By default none. */
  corsOrigins?: readonly string[] | '*'
  /** Seconds that requests under way have to end when the server is closed. Default 30. */
  drainSeconds?: number
  /** Seconds without an event after which a stream sends a comment. Default 10. */
  heartbeatSeconds?: number
  /** Seconds after which a client that does not read its stream is taken for gone. Default 60. */
  stallSeconds?: number
  /** Is told of errors that are the server's own, of which clients only hear that they happened. Standard error by default. */
  onError?: (error: unknown) => void
}

/** Options with their defaults. */
export type Settings = Required<Omit<ServeOptions, 'corsOrigins' | 'names'>> &
  Pick<ServeOptions, 'corsOrigins' | 'names'>

/** Options with their defaults. */
export function settingsOf(options: ServeOptions): Settings {
  return {
    host: '127.0.0.1',
    port: 8000,
    apiKeys: [],
    maxQueue: 256,
    maxBodyBytes: 16 * 2 ** 20,
    drainSeconds: 30,
    heartbeatSeconds: 10,
    stallSeconds: 60,
    onError: (error) => process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : error}\n`),
    ...options,
  }
}
