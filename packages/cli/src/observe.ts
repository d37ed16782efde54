import { type Cluster, connect, InvalidInputError } from '@troupe/core'

/** The options of the commands that look at a running cluster. */
export const observing = {
  address: {
    type: 'string',
    placeholder: 'HOST:PORT',
    help: "where the cluster's head listens; TROUPE_ADDRESS by default",
  },
  json: { type: 'boolean', help: 'print JSON' },
} as const

/**
 * Looks at a running cluster.
 *
 * @throws InvalidInputError if it is not said which
 */
export async function observe<T>(address: string | undefined, look: (cluster: Cluster) => Promise<T>): Promise<T> {
  const where = address ?? process.env.TROUPE_ADDRESS
  if (!where) throw new InvalidInputError('expected --address HOST:PORT, or TROUPE_ADDRESS in the environment')
  await using cluster = await connect({ address: where })
  return await look(cluster)
}

/** Prints a value as JSON, or as text. */
export function show(json: boolean, value: unknown, text: () => string): void {
  process.stdout.write(`${json ? JSON.stringify(value) : text()}\n`)
}
