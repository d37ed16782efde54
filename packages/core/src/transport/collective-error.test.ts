import { CollectiveError } from '@troupe/tensor'
import test from 'ava'
import { connect } from '../api/cluster.js'
import { Breaker, RemoteBreaker } from '../testing/breaker.js'

test('a broken group is a CollectiveError, where it happens and at the caller of the actor that it happened in', async (t) => {
  const cluster = await connect()
  try {
    const calls = [new Breaker().reduceAlone(), (await RemoteBreaker.spawn()).reduceAlone()]
    for (const outcome of await Promise.allSettled(calls)) {
      const { reason } = outcome as PromiseRejectedResult
      t.true(reason instanceof CollectiveError)
      t.is(reason.name, 'CollectiveError')
      t.regex(reason.message, /broken.*asked to/s)
    }
  } finally {
    await cluster.shutdown()
  }
})
