import { actor, type Invitation } from '@troupe/core'

/** An actor that joins groups. */
export class Member {
  ready(): void {}

  async join(group: Invitation, timeout?: number): Promise<void> {
    await group.join(timeout === undefined ? {} : { timeout })
  }
}
export const RemoteMember = actor(import.meta.url, Member)
