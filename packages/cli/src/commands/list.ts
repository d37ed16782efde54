import { type Cluster, InvalidInputError } from '@troupe/core'
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
    heading: ['name', 'class', 'state', 'pid', 'node', 'restarts'],
    row: ({ name, className, state, pid, nodeId, restarts }) => [name, className, state, pid, nodeId, restarts],
  }),
  nodes: kind({
    list: (cluster) => cluster.nodes(),
    heading: ['node', 'host', 'pid', 'actors', 'free'],
    row: ({ id, host, pid, actors, resources, free }) => [id, host, pid, actors, formatFree(resources, free)],
  }),
  tasks: kind({
    list: (cluster) => cluster.tasks(),
    heading: ['function', 'pid', 'node'],
    row: ({ name, pid, nodeId }) => [name, pid, nodeId],
  }),
  'placement-groups': kind({
    list: (cluster) => cluster.placementGroups(),
    heading: ['group', 'bundles', 'nodes'],
    row: ({ id, bundles }) => [id, bundles.length, [...new Set(bundles.map(({ nodeId }) => nodeId))].join(' ')],
  }),
}

/** `troupe list`: what lives in a cluster. */
export const list = command({
  name: 'list',
  argument: 'actors|nodes|tasks|placement-groups',
  summary: 'List the actors, nodes, running tasks or placement groups of a cluster',
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
