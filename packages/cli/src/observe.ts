import { type Cluster, connect, InvalidInputError } from '@troupe/core'
import { type RunningCluster, runningClusters } from '@troupe/core/cluster'

/** The options of the commands that look at a running cluster. */
export const observing = {
  address: {
    type: 'string',
    placeholder: 'HOST:PORT',
    help: 'of the head, or an address that `troupe clusters` lists; TROUPE_ADDRESS or your one cluster on this machine by default',
  },
  json: { type: 'boolean', help: 'print JSON' },
} as const

/** Clusters that an error names. */
const MOST_NAMED = 5

/**
 * Looks at a running cluster.
 *
 * @throws InvalidInputError if it is not said which, and no cluster of this user runs on this machine, or several do
 */
export async function observe<T>(address: string | undefined, look: (cluster: Cluster) => Promise<T>): Promise<T> {
  const where = address ?? process.env.TROUPE_ADDRESS
  await using cluster = await connect(where ? { address: where } : theOnlyOne())
  return await look(cluster)
}

function theOnlyOne(): { address: string; token: string } {
  const running = runningClusters()
  const [first] = running
  if (!first) {
    throw new InvalidInputError(
      'no cluster of yours runs on this machine; start one, or give --address HOST:PORT of one elsewhere',
    )
  }
  if (running.length === 1) return { address: first.address, token: first.secret.text }
  const named = running.slice(0, MOST_NAMED).map((cluster) => `--address ${cluster.address} (${describe(cluster)})`)
  const others = running.length > MOST_NAMED ? ', …' : ''
  throw new InvalidInputError(
    `${running.length} clusters of yours run on this machine; choose one by ${named.join(', ')}${others}; see \`troupe clusters\``,
  )
}

function describe({ program, pid, startedAt }: RunningCluster): string {
  return `${program}, process ${pid}, since ${formatTime(startedAt)}`
}

/** A time as clocks of this machine show it. */
export function formatTime(time: Date): string {
  const two = (number: number) => String(number).padStart(2, '0')
  const date = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join('-')
  return `${date} ${[time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':')}`
}

/** Prints a value as JSON, or as text. */
export function show(json: boolean, value: unknown, text: () => string): void {
  process.stdout.write(`${json ? JSON.stringify(value) : text()}\n`)
}
