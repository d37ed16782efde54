import { actor, type ObjectRef } from '@troupe/core'
import type { Tensor } from '@troupe/tensor'

/** Which object of the node's store a tensor lies in. */
export function placeOf({ handle }: Tensor): string | undefined {
  return JSON.stringify(handle?.memory.stored)
}

/** Reads tensors, and tells which memory they lie in. */
export class Reader {
  #seen: { memory: string | undefined; sum: number }[] = []

  see(tensor: Tensor<'float32'>, scale: { by: number } = { by: 1 }): { memory: string | undefined; sum: number } {
    const seen = {
      memory: placeOf(tensor),
      sum: tensor.data.reduce((sum, value) => sum + value * scale.by, 0),
    }
    this.#seen.push(seen)
    return seen
  }

  seen() {
    return this.#seen
  }

  async sumOf(box: { again: number[]; values: number[]; ref: ObjectRef<number> }): Promise<number> {
    const isOne = box.again === box.values
    return isOne ? box.values.reduce((sum, value) => sum + value, await box.ref) : Number.NaN
  }
}
export const RemoteReader = actor(import.meta.url, Reader)
