// Data-parallel training: every replica computes gradients on its own part of the data, an all-reduce averages them, and all
// replicas take the same step. No process sees the others' data, and none is in charge.
import { actor, connect, type Invitation, isMain } from '@troupe/core'
import { Tensor } from '@troupe/tensor'

const TRUE_WEIGHTS = [2, -3, 0.5]

export class Replica {
  private readonly weights = Tensor.zeros('float32', [TRUE_WEIGHTS.length])
  private readonly gradient = Tensor.zeros('float32', [TRUE_WEIGHTS.length])

  constructor(private readonly rows: number[][]) {}

  async train(invitation: Invitation, steps: number, rate: number): Promise<string> {
    const group = await invitation.join()
    for (let step = 0; step < steps; step++) {
      this.computeGradient()
      await group.allReduce(this.gradient, { reduction: 'average' })
      for (const [i, slope] of this.gradient.data.entries()) this.weights.data[i]! -= rate * slope
    }
    return [...this.weights.data].map((weight) => weight.toFixed(2)).join(' ')
  }

  /** Of the mean squared error over this replica's rows. */
  private computeGradient(): void {
    const { data } = this.gradient
    data.fill(0)
    for (const row of this.rows) {
      const error = row.reduce((sum, x, i) => sum + x * (this.weights.data[i]! - TRUE_WEIGHTS[i]!), 0)
      for (const [i, x] of row.entries()) data[i]! += (2 * error * x) / this.rows.length
    }
  }
}

const RemoteReplica = actor(import.meta.url, Replica)

if (isMain(import.meta)) {
  await using _cluster = await connect()
  const rowsOf = (part: number) => Array.from({ length: 8 }, (_, i) => [1, Math.sin(i + part), Math.cos(3 * i + part)])
  const mesh = await RemoteReplica.spawnMesh({ replica: 3 }, ({ rank }) => [rowsOf(rank)])
  for (const { value } of await mesh.call('train', mesh.communicator('replica'), 100, 0.2)) console.log(value)
}
