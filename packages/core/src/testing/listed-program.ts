import { connect } from '@troupe/core'

// A driver of a cluster of its own that only waits.
const cluster = await connect()
process.stdout.write(`${cluster.id}\n`)
setInterval(() => {}, 1000)
