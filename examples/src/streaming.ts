// A producer and a consumer in two processes. The producer is an async generator: it waits when the consumer lags by a few
// items, and its finally block runs soon after the consumer has seen enough.
import { actor, connect, type Handle, isMain } from '@troupe/core'

export class Thermometer {
  readings = 0
  #stop = () => {}
  readonly #stopped = new Promise<void>((resolve) => {
    this.#stop = resolve
  })

  async *measure() {
    try {
      for (;;) yield { reading: ++this.readings, celsius: 20 + Math.sin(this.readings) }
    } finally {
      this.#stop()
    }
  }

  /** How many readings were made, once nobody wants more. */
  async total() {
    await this.#stopped
    return this.readings
  }
}

export class Averager {
  /** The average of the first readings; then it stops reading. */
  async average(source: Handle<Thermometer>, count: number): Promise<number> {
    let sum = 0
    for await (const { reading, celsius } of source.measure()) {
      sum += celsius
      if (reading === count) break
    }
    return sum / count
  }
}

const RemoteThermometer = actor(import.meta.url, Thermometer)
const RemoteAverager = actor(import.meta.url, Averager)

if (isMain(import.meta)) {
  await using _cluster = await connect()
  const [thermometer, averager] = await Promise.all([
    RemoteThermometer.options({ maxConcurrency: 2 }).spawn(),
    RemoteAverager.spawn(),
  ])
  console.log((await averager.average(thermometer, 500)).toFixed(1))
  const readings = await thermometer.total()
  console.log(readings >= 500 && readings < 600)
}
