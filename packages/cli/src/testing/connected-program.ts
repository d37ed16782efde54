import { once } from 'node:events'
import { connect } from '@troupe/core'
import { RemoteTalker } from './talker.js'

// Starts a cluster with an actor of the name that it is given, and ends it when it is told to.
const cluster = await connect()
const talker = await RemoteTalker.options({ name: process.argv[2]! }).spawn()
await talker.say(['hello'])
process.stdout.write(`${cluster.id}\n`)
await once(process.stdin.resume(), 'end')
await cluster.shutdown()
