import { connect, describeActor } from '@troupe/core'
import { RemoteCounter } from './counter.js'
import { RemoteProbe } from './probe.js'

/** A driver for tests: prints its cluster's id and its workers' pids, and then waits, returns, or fails. */
const [, , how, address] = process.argv
const cluster = await connect(address ? { address } : {})
const counter = await RemoteCounter.spawn(1)
const probe = await RemoteProbe.spawn()
const pids = [counter, probe].map((handle) => describeActor(handle).pid)
process.stdout.write(`${JSON.stringify({ id: cluster.id, pids })}\n`)
if (how === 'wait') await probe.never()
if (how === 'fail') throw new Error('the driver failed')
