import { actor, type Invitation } from '@troupe/core'
import { type Communicator, countGpus, ncclVersion, type Reducible, type Reduction, Tensor } from '@troupe/tensor'

/** An actor that is a rank of the groups that it is invited to. */
export class Member {
  readonly #groups: Communicator[] = []

  /** Its rank, in the group that it then works in. */
  async join(invitation: Invitation, device?: 'cuda'): Promise<number> {
    this.#groups.push(await invitation.join(device ? { device } : {}))
    return this.#group.rank
  }

  async reduce(value: number, device: 'cpu' | 'cuda' = 'cpu', reduction: Reduction = 'sum'): Promise<number[]> {
    const tensor: Reducible = await Tensor.from('float32', [2], [value, 2 * value]).to(device)
    await this.#group.allReduce(tensor, { reduction })
    return [...((await tensor.to('cpu')) as Tensor<'float32'>).data]
  }

  /** Reduces until that fails. */
  async reduceForEver(): Promise<never> {
    for (;;) await this.reduce(1)
  }

  /** Sends its rank around the ring, on GPUs, and splits the group into even and odd ranks that add theirs up. */
  async ringAndSplit(): Promise<number[]> {
    const group = this.#group
    const { rank, size } = group
    const own = await Tensor.from('int32', [1], [rank]).to('cuda')
    const received = Tensor.zeros('int32', [1], { device: 'cuda' })
    const registration = await group.register(received)
    await group.group(() => {
      group.send((rank + 1) % size, own)
      group.receive((rank + size - 1) % size, received)
    })
    await registration.release()
    const part = await group.split(rank % 2)
    await part.allReduce(own)
    const all = Tensor.zeros('int32', [size, 1], { device: 'cuda' })
    await group.allGather(received.reshape([1, 1]), Array(size).fill(1), all)
    const results = await Promise.all([received, own, all].map((tensor) => tensor.to('cpu')))
    await part.close()
    await group.close()
    return results.flatMap(({ data }) => [...data]).map(Number)
  }

  gpus(): { count: number; visible: string | undefined; nccl: string } {
    return { count: countGpus(), visible: process.env.CUDA_VISIBLE_DEVICES, nccl: ncclVersion() }
  }

  get #group(): Communicator {
    return this.#groups.at(-1)!
  }
}

export const RemoteMember = actor(import.meta.url, Member)
