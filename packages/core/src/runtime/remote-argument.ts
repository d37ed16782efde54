import { LostArgumentError } from '../common/errors.js'
import type { Location, Outcome } from '../protocol/location.js'
import { registerCodec } from '../transport/codec.js'
import { askOwner } from './borrowed-ref.js'
import type { ObjectRef } from './ref.js'
import { type OwnerData, ownerDataOf } from './ref-codec.js'
import { isLoss } from './remote-ref-state.js'
import type { Runtime } from './runtime.js'

/** Stands for an argument whose value lives in a third process: the receiver fetches it from there. */
export class RemoteArgument {
  constructor(
    readonly id: string,
    readonly owner: OwnerData,
    readonly at: Location,
  ) {}
}

registerCodec<RemoteArgument, { id: string; owner: OwnerData; at: Location }>({
  name: 'troupe.remote-argument',
  matches: (value): value is RemoteArgument => value instanceof RemoteArgument,
  encode: ({ id, owner, at }) => ({ id, owner, at }),
  decode: ({ id, owner, at }) => new RemoteArgument(id, owner, at),
})

/**
 * The value of a ref as an argument, once it has an outcome: itself, or where the receiver can fetch it.
 *
 * @param isNear whether the receiver is on this node, so that a value which has come over is best sent from here
 * @throws the failure of the ref
 */
export async function argumentOf(ref: ObjectRef<unknown>, isNear: boolean): Promise<unknown> {
  await ref.ready()
  const { elsewhere } = ref
  const at = elsewhere && !(isNear && elsewhere.isHere) && (await elsewhere.location())
  return at ? new RemoteArgument(ref.id, ownerDataOf(ref), at) : await ref
}

/**
 * Fetches the arguments that live elsewhere, in place.
 *
 * @param mayWait whether to wait for the owner to recover one that was lost; a task does not, as it holds resources
 * @throws LostArgumentError if an argument was lost and may not be waited for
 */
export async function fetchArguments(runtime: Runtime, args: unknown[], mayWait: boolean): Promise<void> {
  await Promise.all(
    args.map(async (argument, index) => {
      if (argument instanceof RemoteArgument) args[index] = await fetchArgument(runtime, argument, mayWait)
    }),
  )
}

async function fetchArgument(runtime: Runtime, { id, owner, at }: RemoteArgument, mayWait: boolean): Promise<unknown> {
  let outcome: Outcome = { at }
  for (;;) {
    if ('value' in outcome) return outcome.value
    try {
      return await runtime.fetchAt(outcome.at)
    } catch (error) {
      if (!isLoss(error)) throw error
      const { processId } = outcome.at.holder
      if (!mayWait) throw new LostArgumentError(processId)
      outcome = await askOwner(runtime.ownerOf(owner), id, processId)
    }
  }
}
