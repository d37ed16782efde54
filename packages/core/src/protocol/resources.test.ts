import test from 'ava'
import { memoryOfHost } from '../common/host-memory.js'

test('the memory of a container is what its limit leaves, and that of the host where it has none', (t) => {
  const GiB = 2 ** 30
  t.is(memoryOfHost(64 * GiB, 0.5 * GiB), 0.5 * GiB)
  for (const limit of [0, 64 * GiB, 2 ** 63]) t.is(memoryOfHost(64 * GiB, limit), 64 * GiB)
  t.true(memoryOfHost() > 0)
})
