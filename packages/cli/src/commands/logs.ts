import { InvalidInputError } from '@troupe/core'
import { command } from '../command.js'
import { observe, observing, show } from '../observe.js'

/** `troupe logs`: the latest output of an actor. */
export const logs = command({
  name: 'logs',
  argument: 'ACTOR',
  summary: 'Show the latest lines that an actor wrote, a thousand at most, also after its end',
  options: observing,
  async run({ address, json }, actor) {
    if (actor === undefined) throw new InvalidInputError('expected the name of an actor; see `troupe logs --help`')
    const lines = await observe(address, async (cluster) => {
      const [lines, actors] = await Promise.all([cluster.logs(actor), cluster.actors()])
      if (lines.length === 0 && !actors.some(({ name }) => name === actor)) {
        throw new InvalidInputError(
          `no actor named ${actor} has lived lately; \`troupe list actors\` names those that do`,
        )
      }
      return lines
    })
    if (json || lines.length > 0) show(json, lines, () => lines.join('\n'))
  },
})
