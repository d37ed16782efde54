import { actor } from '@troupe/core'
import { Tensor } from '@troupe/tensor'

/** An actor that works on tensors it is given and gives out tensors of its own. */
export class Scaler {
  #last: Tensor<'float32'> | undefined

  /** Scales in place and gives the sum of what it found. */
  scale(tensor: Tensor<'float32'>, factor: number): number {
    this.#last = tensor
    let sum = 0
    tensor.data.forEach((value, i) => {
      sum += value
      tensor.data[i] = value * factor
    })
    return sum
  }

  /** What the tensor of the last call holds now. */
  seen(): number[] {
    return [...this.#last!.data]
  }

  make(shape: number[], value: number): Tensor<'float32'> {
    const tensor = Tensor.zeros('float32', shape)
    tensor.data.fill(value)
    return tensor
  }

  total(parts: { name: string; tensors: Tensor<'float32'>[] }): number {
    return parts.tensors.reduce((sum, { data }) => sum + data.reduce((a, b) => a + b, 0), 0)
  }
}

export const RemoteScaler = actor(import.meta.url, Scaler)
