// The other process of tensor.test.ts: maps the tensor it is sent and scales it, or makes one and sends its handle.
import { Tensor, type TensorHandle } from '../tensor.js'

let kept: Tensor | undefined

process.on('message', ({ handle, make }: { handle?: TensorHandle; make?: number }) => {
  if (make !== undefined) {
    kept = Tensor.from('float32', [2], [make, make])
    process.send?.(kept.handle)
  } else if (handle) {
    const { data } = Tensor.open(handle) as Tensor<'float32'>
    const sum = data.reduce((total, value) => total + value, 0)
    data.forEach((value, i) => {
      data[i] = value * 10
    })
    process.send?.(sum)
  }
})
process.on('disconnect', () => process.exit())
