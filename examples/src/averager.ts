import { actor } from '@troupe/core'
import { Tensor } from '@troupe/tensor'

/** Keeps a running average of the vectors it is given. */
export class Averager {
  private sum = Tensor.zeros('float32', [3])
  private count = 0

  add(vector: Tensor<'float32'>): number {
    for (const [i, value] of vector.data.entries()) this.sum.data[i]! += value
    return ++this.count
  }

  *average() {
    for (const total of this.sum.data) yield total / this.count
  }
}

export const RemoteAverager = actor(import.meta.url, Averager)
