import { InvalidInputError } from '../common/errors.js'
import { registerCodec } from '../transport/codec.js'
import type { ProcessAddress } from '../transport/connection-manager.js'
import { BorrowedRef } from './borrowed-ref.js'
import { currentRuntime } from './current.js'
import { ObjectRef } from './ref.js'

/** The owner of a ref: a process that can be connected to, or a driver, which is reached through the head. */
export type OwnerData = { readonly worker: ProcessAddress } | { readonly driver: string }

/** The owner of a ref, as it is sent. */
export function ownerDataOf(ref: ObjectRef<unknown>): OwnerData {
  if (ref instanceof BorrowedRef) return ref.ownerData as OwnerData
  return currentRuntime().asOwner
}

/** Keeps a ref until the returned function is called, so that others can ask its owner for it. */
export function pinRef(ref: ObjectRef<unknown>): () => void {
  const { objects } = currentRuntime()
  return ref instanceof BorrowedRef ? objects.keep(ref) : objects.send(ref)
}

// A ref inside of a value stays a ref. Its owner knows of every process that holds one, so the sender's is kept until the
// owner has heard of the receiver's.
registerCodec<ObjectRef<unknown>, { id: string; owner: OwnerData }>({
  name: 'troupe.ref',
  matches: (value): value is ObjectRef<unknown> => value instanceof ObjectRef,
  encode(ref, context) {
    if (ref.isReleased) throw new InvalidInputError(`the ref ${ref.id} was released and cannot be sent any more`)
    context.pin(pinRef(ref))
    return { id: ref.id, owner: ownerDataOf(ref) }
  },
  decode({ id, owner }, context) {
    const runtime = currentRuntime()
    const self = runtime.objects.own(id)
    if (self) return self
    const remote = runtime.ownerOf(owner)
    context.keep(remote.hold(id))
    return new BorrowedRef(id, remote, owner, (location) => runtime.fetchAt(location))
  },
})
