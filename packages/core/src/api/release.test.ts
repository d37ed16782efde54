import test from 'ava'
import { RemoteOddity } from '../testing/outcomes.js'
import { remoteSquare } from '../testing/tasks.js'
import { connect } from './cluster.js'
import { put } from './objects.js'

test('refs of every kind can be released after the shutdown of their cluster, and once more', async (t) => {
  const cluster = await connect()
  const oddity = await RemoteOddity.spawn()
  const refs = [put(new Uint8Array(2 ** 21)), put(1), oddity.echo(new Uint8Array(2 ** 21)), remoteSquare(2)]
  await Promise.all(refs.slice(2))
  const pending = oddity.echo(1)
  pending.catch(() => {})
  await cluster.shutdown()
  for (const ref of [...refs, pending, ...refs]) t.notThrows(() => ref.release())
})
