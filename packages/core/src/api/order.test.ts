import test from 'ava'
import fc from 'fast-check'
import { RemoteProbe } from '../testing/probe.js'
import { useCluster } from '../testing/use-cluster.js'
import { withOptions } from './handle.js'

useCluster(test)

type Step = 'plain' | 'late' | 'cancelled' | 'pause'

test('the calls of each caller run in its order, whatever waits for refs, is cancelled or pauses', async (t) => {
  const source = await RemoteProbe.spawn()
  const step = fc.constantFrom<Step>('plain', 'late', 'cancelled', 'pause')
  const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (steps) => {
    const probe = await target
    const begin = ((await probe.see('begin')) as unknown[]).length
    const expected: unknown[] = []
    for (const [index, kind] of steps.entries()) {
      const controller = new AbortController()
      const value = kind === 'late' ? source.echo(index) : index
      const call = withOptions(probe, { signal: controller.signal }).see(value, kind === 'pause' ? 1 : 0)
      call.catch(() => {})
      // A call that has started runs to its end, so only whether the others keep their order is known.
      if (kind === 'cancelled') controller.abort()
      else expected.push(index)
    }
    const seen = (await probe.see('end')).slice(begin, -1)
    const cancelled = new Set(steps.flatMap((kind, index) => (kind === 'cancelled' ? [index] : [])))
    t.deepEqual(
      seen.filter((index) => !cancelled.has(index as number)),
      expected,
    )
    t.deepEqual(
      seen,
      [...seen].sort((left, right) => Number(left) - Number(right)),
      'the cancelled ones that ran too',
    )
  })
  const target = RemoteProbe.spawn()
  await fc.assert(property, { numRuns: 40 })
})

test('what can be sent comes back as it was', async (t) => {
  const probe = await RemoteProbe.spawn()
  const value = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    withSparseArray: false,
    withNullPrototype: false,
  })
  await fc.assert(
    fc.asyncProperty(value, async (sent) => {
      t.deepEqual(await probe.echo(sent), sent)
    }),
    { numRuns: 200 },
  )
})
