// Data-parallel training: every replica computes gradients on its own part of the data, an all-reduce averages them, and all
// replicas take the same step. No process sees the others' data, and none is in charge.
import { actor, connect, type Invitation, isMain } from '@troupe/core'
import { type DeviceName, openDevice, Tensor } from '@troupe/tensor'

const TRUE_WEIGHTS = [2, -3, 0.5]

export class Replica {
  /** @param rows What the weights are multiplied with, [n][3]. */
  constructor(private readonly rows: number[][]) {}

  async train(invitation: Invitation, device: DeviceName, steps: number, rate: number): Promise<string> {
    const group = await invitation.join()
    await openDevice(device)
    const size = [this.rows.length, TRUE_WEIGHTS.length]
    const x = await Tensor.from('float32', size, this.rows.flat()).to(device)
    const y = x.matmul(await Tensor.from('float32', [TRUE_WEIGHTS.length], TRUE_WEIGHTS).to(device))
    let weights = Tensor.zeros('float32', [TRUE_WEIGHTS.length], { device })
    for (let step = 0; step < steps; step++) {
      // Of the mean squared error over this replica's rows.
      const errors = x.matmul(weights).subtract(y)
      const gradient = x
        .matrixTranspose()
        .matmul(errors)
        .multiply(2 / this.rows.length)
      await group.allReduce(gradient, { reduction: 'average' })
      weights = weights.subtract(gradient.multiply(rate))
    }
    const found = await weights.to('cpu')
    return [...found.data].map((weight) => weight.toFixed(2)).join(' ')
  }
}

const RemoteReplica = actor(import.meta.url, Replica)

if (isMain(import.meta)) {
  const device = (process.argv[2] ?? 'cpu') as DeviceName
  await using _cluster = await connect()
  const rowsOf = (part: number) => Array.from({ length: 8 }, (_, i) => [1, Math.sin(i + part), Math.cos(3 * i + part)])
  const mesh = await RemoteReplica.spawnMesh({ replica: 3 }, ({ rank }) => [rowsOf(rank)])
  for (const { value } of await mesh.call('train', mesh.communicator('replica'), device, 100, 0.2)) console.log(value)
}
