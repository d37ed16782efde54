import { type ActorStack, InvalidInputError } from '@troupe/core'
import { command } from '../command.js'
import { observe, observing, show } from '../observe.js'

/** `troupe stack`: the stack of an actor's process. */
export const stack = command({
  name: 'stack',
  argument: 'ACTOR',
  summary: "Show the JavaScript stack of an actor's process, also while it is stuck in a loop",
  options: observing,
  async run({ address, json }, actor) {
    if (actor === undefined) {
      throw new InvalidInputError('expected the name or the id of an actor; see `troupe stack --help`')
    }
    const stack = await observe(address, (cluster) => cluster.stack(actor))
    show(json, stack, () => format(stack))
  },
})

function format({ name, pid, state, frames }: ActorStack): string {
  const who = `${name} (process ${pid})`
  switch (state) {
    case 'running':
      return [`${who} runs`, ...frames.map((frame) => `    at ${frame}`)].join('\n')
    case 'idle':
      return `${who} is idle: it runs no JavaScript and waits for events`
    case 'blocked':
      return `${who} is blocked: its main thread is in native code or a system call, see \`gdb -p ${pid}\``
  }
}
