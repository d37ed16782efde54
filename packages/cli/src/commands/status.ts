import { command } from '../command.js'
import { observe, observing, show } from '../observe.js'
import { formatFree, table } from '../table.js'

/** `troupe status`: the nodes of a cluster, their free resources, and the numbers of actors and tasks. */
export const status = command({
  name: 'status',
  summary: 'Show the nodes of a cluster, what is free on them, and how much runs there',
  options: observing,
  async run({ address, json }) {
    const state = await observe(address, async (cluster) => {
      const [nodes, actors, tasks] = await Promise.all([cluster.nodes(), cluster.actors(), cluster.tasks()])
      return { id: cluster.id, nodes, actors: actors.length, tasks: tasks.length }
    })
    show(json, state, () => {
      const rows = state.nodes.map(({ id, host, actors, resources, free }) => [
        id,
        host,
        actors,
        formatFree(resources, free),
      ])
      const counts = `${state.nodes.length} nodes, ${state.actors} actors, ${state.tasks} tasks running`
      return `${counts}\n\n${table(['node', 'host', 'actors', 'free'], rows)}`
    })
  },
})
