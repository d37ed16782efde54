import { connect } from '@troupe/core'
import { RemoteCounter } from './counter.js'

/** A driver for tests that uses the service named `hits`, spawning it where there is none, and prints what it counts. */
const [, , address, namespace] = process.argv
const cluster = await connect({ address: address!, namespace: namespace! })
const counter = await RemoteCounter.options({ name: 'hits', detached: true, getIfExists: true }).spawn(100)
process.stdout.write(`${await counter.add()}\n`)
await cluster.shutdown()
