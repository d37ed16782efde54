import { connect } from '@troupe/core'
import { RemoteCloser } from './closer.js'

/** A driver for tests that ends in the way it is told, with an actor in a process, one in a thread, and one of theirs. */
const [, , file, how] = process.argv
const cluster = await connect()
const [one, two] = await Promise.all([
  RemoteCloser.spawn(file!, 'process'),
  RemoteCloser.options({ isolation: 'thread' }).spawn(file!, 'thread'),
])
await one.spawn('owned')
// A call that waits for its answer keeps a driver from returning.
if (how !== 'return') void two.never()
process.stdout.write(`${cluster.id}\n`)
if (how === 'exit') process.exit(0)
if (how === 'fail') throw new Error('the driver failed')
if (how === 'shutdown') await cluster.shutdown()
if (how !== 'return' && how !== 'shutdown') setInterval(() => {}, 1000)
