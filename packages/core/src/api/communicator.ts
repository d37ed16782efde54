import { randomBytes, randomUUID } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { inspect } from 'node:util'
import { Communicator, type CommunicatorOptions, type RankAddress } from '@troupe/tensor'
import { InvalidInputError } from '../common/errors.js'
import type { ActorRecord } from '../protocol/actor.js'
import { currentRuntime } from '../runtime/current.js'
import { registerCodec } from '../transport/codec.js'
import { clientOf } from './handle.js'

/** Options that a rank may choose for itself when it joins. */
export type JoinOptions = Pick<CommunicatorOptions, 'spin' | 'timeout' | 'device' | 'messageBytes'>

/** Options that all ranks of a communicator have in common. */
export interface GroupOptions {
  /** The name of the group in errors; a mesh's by default its dimensions. */
  readonly name?: string
  /** Whether what travels between nodes is encrypted; the key comes with the invitation. */
  readonly encrypt?: boolean
}

interface Invited {
  readonly id: string
  readonly name: string
  readonly token: string
  readonly encrypt: boolean
  /** The members of each group, in rank order. */
  readonly groups: readonly (readonly ActorRecord[])[]
}

const joined = new Map<string, Promise<Communicator>>()

/**
 * The right to join a communicator, which is passed to the actors that it was made for. Each of them joins once; they meet
 * through the head of the cluster. Data goes between them by the way that suits where the ranks and their tensors are.
 *
 * @example
 * ```ts
 * class Trainer {
 *   async average(group: Invitation, gradients: Tensor<'float32'>) {
 *     const communicator = await group.join()   // the same one at every call
 *     await communicator.allReduce(gradients, { reduction: 'average' })
 *   }
 * }
 * const mesh = await RemoteTrainer.spawnMesh({ replica: 4 })
 * await mesh.call('average', mesh.communicator(), gradients)
 * ```
 */
export class Invitation {
  readonly #invited: Invited

  /** @internal */
  constructor(invited: Invited) {
    this.#invited = invited
  }

  /** The text that `console.log` shows. */
  [inspect.custom](): string {
    return `Invitation(${this.#invited.name})`
  }

  /** @internal */
  get data(): Invited {
    return this.#invited
  }

  /**
   * Meets the other members. A member that dies before ends the wait, and later ends every operation of the group, as soon as
   * the cluster knows, also if it is restarted; the others may then join a new group.
   *
   * @throws InvalidInputError in a process that runs none of the members; CollectiveError if a member dies before all have
   * joined, or the `timeout` of one that waits passes, which ends the wait for all
   */
  join(options: JoinOptions = {}): Promise<Communicator> {
    const { id } = this.#invited
    const known = joined.get(id)
    if (known) return known
    const joining = this.#join(options)
    joined.set(id, joining)
    joining.catch(() => joined.delete(id))
    return joining
  }

  async #join(options: JoinOptions): Promise<Communicator> {
    const runtime = currentRuntime()
    const { id, name, token, encrypt, groups } = this.#invited
    const self = runtime.actor?.identity
    const index = groups.findIndex((members) => members.some((member) => member.id === self?.id))
    const members = groups[index]
    if (!self || !members) {
      const names = groups.flat().map((member) => member.name)
      throw new InvalidInputError(`${self?.name ?? 'a driver'} cannot join group '${name}' of ${names.join(', ')}`)
    }
    const rank = members.findIndex((member) => member.id === self.id)
    const neighbours = members.filter(({ address }) => address.nodeId === members[rank]!.address.nodeId)
    const communicator = new Communicator({
      rank,
      size: members.length,
      name,
      node: self.nodeId,
      ...(neighbours.length < members.length && { host: self.host }),
      token: `${token}.${index}`,
      encrypt,
      labels: members.map((member) => member.name),
      spin: neighbours.length <= availableParallelism(),
      ...options,
    })
    const meeting = `${id}.${index}`
    let isMeeting = true
    // Whoever hears of a death ends the meeting for all, and its own part of the group.
    for (const member of members) {
      if (member.id === self.id) continue
      runtime.client(member).onceGone(member.restarts, ({ reason }) => {
        const text = `group '${name}': rank ${member.name} has died: ${reason}`
        communicator.abort(text)
        if (isMeeting) runtime.head.leaveMeeting(meeting, text).catch(() => {})
      })
    }
    const { timeout } = options
    const late = () => {
      const text = `group '${name}': not all of its ${members.length} ranks have joined within ${timeout} ms of ${self.name}`
      runtime.head.leaveMeeting(meeting, text).catch(() => {})
    }
    const timer = timeout === undefined ? undefined : setTimeout(late, timeout)
    const meet = runtime.head.meet(meeting, rank, members.length, communicator.address)
    const addresses = await meet.finally(() => clearTimeout(timer))
    isMeeting = false
    await communicator.connect(addresses as RankAddress[])
    return communicator
  }
}

/**
 * Invites actors to a communicator, ranked in the order of their handles.
 *
 * @throws InvalidInputError if there are no handles, or an actor is given twice
 */
export function communicator(handles: readonly object[], options: GroupOptions = {}): Invitation {
  return invite({ name: 'group', ...options }, [handles.map((handle) => clientOf(handle).record)])
}

/** @internal */
export function invite(
  { name, encrypt = false }: GroupOptions & { name: string },
  groups: ActorRecord[][],
): Invitation {
  const members = groups.flat()
  if (members.length === 0) throw new InvalidInputError('a communicator needs at least one actor')
  const twice = members.find(({ id }, index) => members.findIndex((other) => other.id === id) !== index)
  if (twice) throw new InvalidInputError(`${twice.name} cannot be two ranks of one communicator`)
  return new Invitation({ id: randomUUID(), name, token: randomBytes(24).toString('base64url'), encrypt, groups })
}

registerCodec<Invitation, Invited>({
  name: 'troupe.invitation',
  matches: (value): value is Invitation => value instanceof Invitation,
  encode: (invitation) => invitation.data,
  decode: (invited) => new Invitation(invited),
})
