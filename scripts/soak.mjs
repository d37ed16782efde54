// Calls actors many times and checks that the memory of the driver and of the workers stays flat.
//
//   node scripts/soak.mjs [CALLS] [ACTORS]     1,000,000 calls over 50 actors by default; run `npm run build` before
//
// Prints resident memory after each tenth, and ends with status 1 if the last tenth is more than 5 % above the second, the
// first being the warm-up.
import { readFileSync } from 'node:fs'
import { connect, describeActor } from '../packages/core/dist/index.js'
import { RemoteCounter } from '../packages/core/dist/testing/counter.js'

const [calls = 1_000_000, actors = 50] = process.argv.slice(2).map(Number)
const IN_FLIGHT = 20

const cluster = await connect()
const counters = await Promise.all(Array.from({ length: actors }, () => RemoteCounter.spawn()))
const pids = counters.map((counter) => describeActor(counter).pid)
const began = performance.now()
const figures = []
for (let tenth = 1; tenth <= 10; tenth++) {
  await Promise.all(counters.map((counter) => callOften(counter, Math.round(calls / 10 / actors))))
  const [driver, workers] = [residentOf('self'), pids.reduce((sum, pid) => sum + residentOf(pid), 0)]
  figures.push({ driver, workers })
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  console.log(`${tenth * 10} % after ${seconds} s: driver ${driver.toFixed(1)} MB, workers ${workers.toFixed(1)} MB`)
}
await cluster.shutdown()
const [, first] = figures
const last = figures.at(-1)
for (const who of ['driver', 'workers']) {
  const growth = last[who] / first[who] - 1
  console.log(`${who}: ${(growth * 100).toFixed(1)} % from the second tenth to the last`)
  if (growth > 0.05) process.exitCode = 1
}

async function callOften(counter, times) {
  for (let done = 0; done < times; done += IN_FLIGHT) {
    await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, times - done) }, () => counter.add()))
  }
}

/** Megabytes. */
function residentOf(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1000
}
