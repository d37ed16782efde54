import { InvalidInputError } from '@troupe/core'
import { joinHead, type NodeOptions, startHead, tokenFile } from '@troupe/core/cluster'
import { readAmounts, readPairs } from '../amounts.js'
import { command } from '../command.js'
import { untilSignal } from '../signals.js'

/** `troupe start`: makes this process the head or a node of a cluster, until it is told to end. */
export const start = command({
  name: 'start',
  summary: 'Start the head of a cluster, or join this host to one',
  description:
    'Runs in the foreground until Ctrl-C or SIGTERM, which ends the workers of this host too. Who joins or connects needs\n' +
    "the cluster's token: TROUPE_TOKEN, or what the file ~/.troupe/token has. A head that finds neither makes the file.",
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
    resources: {
      type: 'string',
      placeholder: 'NAME=N,…',
      help: 'what this node has beside or instead of its CPUs, GPUs and memory, such as cpu=4,licence=1',
    },
    labels: { type: 'string', placeholder: 'NAME=TEXT,…', help: 'what actors can ask for, such as zone=a' },
  },
  async run({ head, join, port, host, ...given }) {
    if (head === (join !== undefined)) {
      throw new InvalidInputError('expected either --head or --join HOST:PORT; see `troupe start --help`')
    }
    const node = { resources: readAmounts('resources', given.resources), labels: readPairs('labels', given.labels) }
    if (join === undefined) await runHead(host, port, node)
    else await runNode(join, host, node)
  },
})

async function runHead(host: string, port: number, options: NodeOptions): Promise<void> {
  const head = await startHead({ host, port }, options)
  const { address } = head
  process.stdout.write(`troupe head listening on ${address} - join with: troupe start --join ${address}\n`)
  const token = process.env.TROUPE_TOKEN === undefined ? `the token in ${tokenFile()}` : 'the token in TROUPE_TOKEN'
  process.stdout.write(`who joins needs ${token}\n`)
  await untilSignal()
  await head.close()
}

async function runNode(address: string, host: string, options: NodeOptions): Promise<void> {
  const node = await joinHead(address, host, options)
  process.stdout.write(`troupe node joined ${address}\n`)
  try {
    await Promise.race([untilSignal(), node.lost])
  } finally {
    await node.close()
  }
}
