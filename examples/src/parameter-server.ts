// A parameter server: one actor keeps the weights of a linear model, workers compute gradients on their part of the data. The
// weights and gradients are tensors in shared memory, so that between processes of one machine only handles travel.
import { actor, connect, isMain } from '@troupe/core'
import { Tensor } from '@troupe/tensor'

const TRUE_WEIGHTS = [2, -3, 0.5]

export class ParameterServer {
  private readonly weights = Tensor.zeros('float32', [TRUE_WEIGHTS.length])

  read(): Tensor<'float32'> {
    return this.weights
  }

  apply(gradient: Tensor<'float32'>, rate: number): void {
    for (const [i, slope] of gradient.data.entries()) this.weights.data[i]! -= rate * slope
  }
}

export class GradientWorker {
  constructor(private readonly rows: number[][]) {}

  /** The gradient of the mean squared error over this worker's rows. */
  gradient(weights: Tensor<'float32'>): Tensor<'float32'> {
    const gradient = Tensor.zeros('float32', [TRUE_WEIGHTS.length])
    for (const row of this.rows) {
      const error = row.reduce((sum, x, i) => sum + x * (weights.data[i]! - TRUE_WEIGHTS[i]!), 0)
      for (const [i, x] of row.entries()) gradient.data[i]! += (2 * error * x) / this.rows.length
    }
    return gradient
  }
}

const RemoteServer = actor(import.meta.url, ParameterServer)
const RemoteWorker = actor(import.meta.url, GradientWorker)

if (isMain(import.meta)) {
  await using _cluster = await connect()
  const server = await RemoteServer.spawn()
  const rowsOf = (part: number) => Array.from({ length: 8 }, (_, i) => [1, Math.sin(i + part), Math.cos(3 * i + part)])
  const workers = await RemoteWorker.spawnMesh({ worker: 2 }, ({ rank }) => [rowsOf(rank)])
  for (let step = 0; step < 100; step++) {
    // A ref passed as an argument arrives as its value: the gradients go from worker to server.
    const gradients = workers.members.map(({ handle }) => handle.gradient(server.read()))
    await Promise.all(gradients.map((gradient) => server.apply(gradient, 0.2)))
  }
  const weights = await server.read()
  console.log([...weights.data].map((weight) => weight.toFixed(2)).join(' '))
}
