import { runningClusters } from '@troupe/core/cluster'
import { command } from '../command.js'
import { formatTime, observing, show } from '../observe.js'
import { table } from '../table.js'

/** `troupe clusters`: the clusters of this user that run on this machine. */
export const clusters = command({
  name: 'clusters',
  summary: 'List your clusters whose heads run on this machine, those that programs have started with connect() too',
  options: { json: observing.json },
  async run({ json }) {
    const running = runningClusters()
    const told = running.map(({ address, program, pid, startedAt, id }) => ({ address, program, pid, startedAt, id }))
    show(json, told, () => {
      if (told.length === 0) return 'no cluster of yours runs on this machine'
      const rows = told.map(({ address, program, pid, startedAt }) => [address, program, pid, formatTime(startedAt)])
      return table(['address', 'program', 'pid', 'since'], rows)
    })
  },
})
