import { type Cluster, InvalidInputError, type ProcessInfo } from '@troupe/core'
import { command } from '../command.js'
import { observe, observing, show } from '../observe.js'
import { formatFree, table } from '../table.js'

type Cells = (string | number)[]

interface Kind<T> {
  list(cluster: Cluster): Promise<T[]>
  readonly heading: string[]
  row(item: T): Cells
}

function kind<T>(definition: Kind<T>): Kind<unknown> {
  return definition as Kind<unknown>
}

const kinds: Readonly<Record<string, Kind<unknown>>> = {
  actors: kind({
    list: (cluster) => cluster.actors(),
    heading: ['name', 'class', 'state', 'pid', 'node', 'restarts', 'failed broadcasts'],
    row: ({ name, className, state, pid, nodeId, restarts, failedBroadcasts }) => [
      name,
      className,
      state,
      pid,
      nodeId,
      restarts,
      failedBroadcasts,
    ],
  }),
  nodes: kind({
    list: (cluster) => cluster.nodes(),
    heading: ['node', 'host', 'pid', 'actors', 'free'],
    row: ({ id, host, pid, actors, resources, free }) => [id, host, pid, actors, formatFree(resources, free)],
  }),
  tasks: kind({
    list: (cluster) => cluster.tasks(),
    heading: ['function', 'state', 'seconds', 'pid', 'node', 'called by'],
    row: ({ name, state, age, pid, nodeId, owner }) => [
      name,
      state,
      Number(age.toFixed(1)),
      pid,
      nodeId,
      formatProcess(owner),
    ],
  }),
  objects: kind({
    list: (cluster) => cluster.objects(),
    heading: ['object', 'state', 'bytes', 'owner', 'node', 'held by'],
    row: ({ id, state, size, owner, holders }) => [
      id,
      state,
      size ?? '',
      formatProcess(owner),
      owner.nodeId,
      holders.map(formatProcess).join(', '),
    ],
  }),
  'placement-groups': kind({
    list: (cluster) => cluster.placementGroups(),
    heading: ['group', 'bundles', 'nodes'],
    row: ({ id, bundles }) => [id, bundles.length, [...new Set(bundles.map(({ nodeId }) => nodeId))].join(' ')],
  }),
}

function formatProcess({ name, pid }: ProcessInfo): string {
  return `${name} (${pid})`
}

/** `troupe list`: the nodes, actors, tasks, objects and groups of a cluster. */
export const list = command({
  name: 'list',
  argument: 'actors|nodes|tasks|objects|placement-groups',
  summary: 'List the actors, nodes, tasks, shared objects or placement groups of a cluster',
  options: observing,
  async run({ address, json }, what) {
    const chosen = kinds[what ?? '']
    if (!chosen) {
      const known = Object.keys(kinds).join(', ')
      throw new InvalidInputError(`expected one of ${known}, found ${what ?? 'nothing'}; see \`troupe list --help\``)
    }
    const items = await observe(address, (cluster) => chosen.list(cluster))
    show(json, items, () => table(chosen.heading, items.map(chosen.row)))
  },
})
