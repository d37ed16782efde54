import { connect } from '@troupe/core'
import { RemoteCounter } from './counter.js'

/** A driver for tests whose second actor waits for what the first one holds. */
await connect({ resources: { licence: 1 } })
const licensed = { resources: { licence: 1 } }
await RemoteCounter.options({ name: 'first', ...licensed }).spawn()
process.stdout.write('waiting\n')
await RemoteCounter.options({ name: 'second', ...licensed }).spawn()
