import { connect } from '@troupe/core'
import { RemoteProbe } from './probe.js'

/** A driver for tests whose actor fails while nobody awaits a call of it. */
const cluster = await connect()
const probe = await RemoteProbe.options({ name: 'careless' }).spawn()
process.stdout.write(`${cluster.id}\n`)
void probe.throwOutsideOfACall()
setInterval(() => {}, 1000)
