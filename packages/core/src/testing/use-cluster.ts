import { type Cluster, type ConnectOptions, connect } from '@troupe/core'
import type { TestFn } from 'ava'
import { files, processesOf, untilGone } from './leftovers.js'
import { LogLines } from './log-lines.js'

/**
 * Gives a test file a cluster of its own, and checks after its tests that nothing of it is left. What its
 * actors write is only shown with a test that fails.
 */
export function useCluster(test: TestFn, options: ConnectOptions = {}): () => Cluster {
  let cluster: Cluster
  let before: string[] = []
  const lines = new LogLines()
  test.before(async () => {
    before = files()
    cluster = await connect({ onLog: lines.add, ...options })
  })
  test.afterEach.always((t) => lines.showIfFailed(t))
  test.after.always('nothing of the cluster is left', async (t) => {
    if (!cluster) return
    const { id } = cluster
    await cluster.shutdown()
    await untilGone(t, () => processesOf(id))
    t.deepEqual(files(), before)
  })
  return () => cluster
}
