import { runInNewContext } from 'node:vm'

/** Numbers in [0, 1) that depend on the seed alone (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** A nested value of all the kinds that can be sent. */
export function randomValue(random: () => number, depth = 4): unknown {
  const below = (limit: number) => Math.floor(random() * limit)
  const several = <T>(make: () => T) => Array.from({ length: below(5) }, make)
  const text = () => several(() => String.fromCodePoint(below(0xd7ff))).join('')
  const nested = () => randomValue(random, depth - 1)
  const leaves = [
    () => null,
    () => undefined,
    () => random() < 0.5,
    () => below(2 ** 31) - 2 ** 30,
    () => (random() - 0.5) * 10 ** below(300),
    () => [Number.NaN, -0, Number.POSITIVE_INFINITY, 2 ** 53, -(2 ** 40)][below(5)],
    () => text(),
    () => BigInt(below(2 ** 31)) ** BigInt(below(6)) * (random() < 0.5 ? -1n : 1n),
    () => new Date(below(2 ** 41)),
    () => Uint8Array.from(several(() => below(256))),
    () => Float64Array.from({ length: below(400) }, () => random()),
    () => /^a+b$/gi,
    () => new URL(`https://example.org/${below(9)}`),
  ]
  const branches = [
    () => several(nested),
    () => Object.fromEntries(several(() => [text(), nested()])),
    () => new Map(several(() => [nested(), nested()])),
    () => new Set(several(nested)),
  ]
  const choices = depth > 0 ? [...leaves, ...branches, ...branches, ...branches] : leaves
  return choices[below(choices.length)]!()
}

/** A nested value of kinds that can be sent and of kinds that cannot, or that throw when they are looked at. */
export function hostileValue(random: () => number, depth = 3): unknown {
  const below = (limit: number) => Math.floor(random() * limit)
  const nested = () => hostileValue(random, depth - 1)
  const refuse = () => {
    throw new Error('not to be read')
  }
  const cyclic = () => {
    const value: Record<string, unknown> = { inside: nested() }
    value.self = [value]
    return value
  }
  const deep = () => {
    let value: unknown = 1
    for (let level = below(20_000); level > 0; level--) value = level % 2 === 0 ? [value] : { value }
    return value
  }
  const revoked = () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    return proxy
  }
  const chain = () => {
    let error = new Error('the root')
    for (let level = below(2000); level > 0; level--) error = new Error(`level ${level}`, { cause: error })
    return error
  }
  const leaves = [
    () => randomValue(random, 2),
    () => () => 1,
    () => Symbol('odd'),
    () => 10n ** BigInt(below(3000)),
    () => [Number.MAX_VALUE, Number.MIN_VALUE, 2 ** 64, -(2 ** 63)][below(4)],
    () => new WeakMap(),
    () => Promise.resolve(1),
    () => new Proxy([1, 2], {}),
    () => new Proxy({}, { get: refuse, ownKeys: refuse, getPrototypeOf: refuse }),
    revoked,
    () => Object.defineProperty({}, 'field', { enumerable: true, get: refuse }),
    () => runInNewContext('({ list: [1, new Map([[1, new Date(0)]])], error: new RangeError("x") })'),
    () => runInNewContext('Object.assign(new Error("x"), { cause: Object.create(null) })'),
    () => new Float64Array(below(20_000)),
    () => new (class extends Uint8Array {})(4),
    () => Object.create(Map.prototype),
    () => new Number(1),
    deep,
    chain,
  ]
  const branches = [
    () => Array.from({ length: below(4) }, nested),
    () => ({ a: nested(), '\ud800': nested() }),
    () => Object.assign(Object.create(null), { x: nested() }),
    () => new Map([[nested(), nested()]]),
    () => new Set([nested()]),
    () => new Error('outer', { cause: nested() }),
    () => new AggregateError([nested(), nested()], 'several'),
    () => Object.defineProperty(new Error('odd'), 'message', { get: refuse }),
    cyclic,
  ]
  const choices = depth > 0 ? [...leaves, ...branches, ...branches] : leaves
  return choices[below(choices.length)]!()
}
