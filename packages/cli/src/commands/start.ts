import { InvalidInputError } from '@troupe/core'
import { joinHead, startHead } from '@troupe/core/cluster'
import { command } from '../command.js'
import { untilSignal } from '../signals.js'

/** `troupe start`: makes this process the head or a node of a cluster, until it is told to end. */
export const start = command({
  name: 'start',
  summary: 'Start the head of a cluster, or join this host to one',
  description: 'Runs in the foreground until Ctrl-C or SIGTERM, which ends the workers of this host too.',
  options: {
    head: { type: 'boolean', help: 'start a head' },
    join: { type: 'string', placeholder: 'HOST:PORT', help: 'join the cluster of the head that listens there' },
    port: {
      type: 'integer',
      min: 0,
      max: 65535,
      default: 6380,
      help: 'where the head listens; 0 takes any free port',
    },
    host: {
      type: 'string',
      default: '127.0.0.1',
      placeholder: 'HOST',
      help: "this machine's address: where it listens, and how other hosts reach it",
    },
  },
  async run({ head, join, port, host }) {
    if (head === (join !== undefined)) {
      throw new InvalidInputError('expected either --head or --join HOST:PORT; see `troupe start --help`')
    }
    if (join === undefined) await runHead(host, port)
    else await runNode(join, host)
  },
})

async function runHead(host: string, port: number): Promise<void> {
  const head = await startHead({ host, port })
  const { address } = head
  process.stdout.write(`troupe head listening on ${address} - join with: troupe start --join ${address}\n`)
  await untilSignal()
  await head.close()
}

async function runNode(address: string, host: string): Promise<void> {
  const node = await joinHead(address, host)
  process.stdout.write(`troupe node joined ${address}\n`)
  try {
    await Promise.race([untilSignal(), node.lost])
  } finally {
    await node.close()
  }
}
