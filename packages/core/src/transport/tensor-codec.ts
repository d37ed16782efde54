import { CollectiveError, type DataType, nativeStorage, Tensor, type TensorHandle } from '@troupe/tensor'
import { InvalidInputError, registerErrorClass } from '../common/errors.js'
import { registerCodec } from './codec.js'

registerErrorClass(CollectiveError)

type Sent = { handle: TensorHandle } | { dtype: DataType; shape: readonly number[]; attachment: number }

// Within a node a tensor travels by handle and both processes then see the same elements; to other nodes its bytes travel.
registerCodec<Tensor, Sent>({
  name: 'troupe.tensor',
  matches: (value): value is Tensor => value instanceof Tensor,
  encode(tensor, context) {
    if (tensor.device !== 'cpu') {
      throw new InvalidInputError(
        `a tensor on ${tensor.device} cannot be sent; send await tensor.to('cpu'), or use a communicator`,
      )
    }
    if (!context.sameNode) {
      return { dtype: tensor.dtype, shape: tensor.shape, attachment: context.attachOwned(lent(tensor)) }
    }
    let held: Tensor | undefined = tensor.handle ? tensor : sharedCopy(tensor)
    const handle = held.handle as TensorHandle
    const hold = nativeStorage(held.storage).hold()
    // The receiver maps the memory through this process, which must not collect it before.
    context.pin(() => {
      hold?.release()
      held = undefined
    })
    if (hold) held = undefined
    return { handle }
  },
  decode(sent, context) {
    if ('handle' in sent) return Tensor.open(sent.handle)
    const tensor = Tensor.zeros(sent.dtype, sent.shape)
    tensor.bytes.set(context.attachment(sent.attachment))
    return tensor
  },
})

function sharedCopy(tensor: Tensor): Tensor {
  const copy = Tensor.zeros(tensor.dtype, tensor.shape)
  copy.bytes.set(tensor.bytes)
  tensor.verify()
  return copy
}

/** The bytes in place, over an array of their own, which nobody can take away. */
function lent(tensor: Tensor): Uint8Array {
  tensor.verify()
  return new Uint8Array(nativeStorage(tensor.storage).lend(), tensor.offset, tensor.byteLength)
}
