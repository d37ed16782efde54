import { connect } from '@troupe/core'
import { RemoteCounter } from './counter.js'

/** A driver for tests of whose thousand actors only one has room. */
await connect({ resources: { licence: 1 } })
const spawn = () => RemoteCounter.options({ resources: { licence: 1 } }).spawn()
await spawn()
const waiting = Array.from({ length: 1000 }, spawn)
for (const one of waiting) one.catch(() => {})
process.stdout.write('waiting\n')
