import { connect } from '@troupe/core'
import { RemoteParent } from './parent.js'

/** A driver for tests whose actors have started processes: prints their ids, and then waits to be ended. */
const [, , address, token] = process.argv
const cluster = await connect(address && token ? { address, token } : {})
const started = await (await RemoteParent.spawn()).start()
const [node] = await cluster.nodes()
process.stdout.write(`${JSON.stringify({ started, head: node!.pid })}\n`)
setInterval(() => {}, 1000)
