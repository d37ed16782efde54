import { setTimeout as delay } from 'node:timers/promises'
import { connect, describeActor } from '@troupe/core'
import { RemoteCounter } from './counter.js'

// Calls an actor on the second node of a cluster all the time for twelve seconds, and tells what it answers last.

const cluster = await connect({ address: process.argv[2]! })
const [, second] = await cluster.nodes()
const counter = await RemoteCounter.options({ nodeId: second!.id }).spawn(0)
console.log(JSON.stringify({ pid: describeActor(counter).pid }))
await counter.add(1)
await delay(1000)
const during = counter.add(1)
await delay(11_000)
await during
console.log(await counter.add(1))
await cluster.shutdown()
