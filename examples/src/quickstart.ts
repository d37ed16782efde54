import { connect } from '@troupe/core'
import { Tensor } from '@troupe/tensor'
import { RemoteAverager } from './averager.js'

const cluster = await connect() // starts actor processes on this machine
const averager = await RemoteAverager.spawn()
await averager.add(Tensor.from('float32', [3], [1, 2, 3])) // the other process maps this memory
const count = averager.add(Tensor.from('float32', [3], [3, 4, 5])) // not awaited: a ref
console.log(`${await count} vectors, average:`)
for await (const value of averager.average()) console.log(value)
await cluster.shutdown()
