import { actor, registerCodec } from '@troupe/core'

/** A value that its sender has to hold until the receiver has it. */
export class Lease {
  constructor(
    readonly text: string,
    readonly released: () => void = () => {},
  ) {}
}

registerCodec<Lease, string>({
  name: 'test.lease',
  matches: (value): value is Lease => value instanceof Lease,
  encode: (lease, context) => {
    context.pin(lease.released)
    return lease.text
  },
  decode: (text) => {
    if (text === 'unreadable') throw new RangeError('this lease cannot be read')
    return new Lease(text)
  },
})

/** Takes leases, and can be busy for a while. */
export class Tenant {
  take(lease: Lease): string {
    return lease.text
  }

  block(milliseconds: number): void {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
  }
}
export const RemoteTenant = actor(import.meta.url, Tenant)
