import { connect, describeActor, killActor } from '@troupe/core'
import { RemoteCounter } from './counter.js'

// Spawns actors until a spawn fails, and tells how many there were, why, and what those that live answer.

const most = Number(process.argv[2])
const cluster = await connect()
const counters = []
let message = ''
try {
  while (counters.length < most) counters.push(await RemoteCounter.spawn(0))
} catch (error) {
  message = (error as Error).message
}
const answers = await Promise.all(counters.map((counter) => counter.add(1)))
// One that has ended makes room for another.
const last = counters.pop()!
await killActor(last)
const another = await RemoteCounter.spawn(0)
if (describeActor(another).pid === describeActor(last).pid) message = 'a killed actor was given again'
console.log(JSON.stringify({ spawned: answers.length, message, sum: answers.reduce((sum, answer) => sum + answer, 0) }))
await cluster.shutdown()
