import { connect } from '@troupe/core'
import { RemoteCounter } from './counter.js'
import { RemoteProbe } from './probe.js'

/** A driver for tests with a local actor that another process calls; it ends without a word. */
const [, , address] = process.argv
await connect(address ? { address } : {})
const counter = await RemoteCounter.options({ isolation: 'local' }).spawn(1)
const probe = await RemoteProbe.spawn()
process.stdout.write(`called ${await probe.addThrough(counter, 2)}\n`)
