import type { TestFn } from 'ava'
import { type Cluster, type ConnectOptions, connect } from '../index.js'
import { files, processesOf, untilGone } from './leftovers.js'

/** Gives a test file a cluster of its own, and checks after its tests that nothing of it is left. */
export function useCluster(test: TestFn, options: ConnectOptions = {}): () => Cluster {
  let cluster: Cluster
  let before: string[] = []
  test.before(async () => {
    before = files()
    cluster = await connect(options)
  })
  test.after.always('nothing of the cluster is left', async (t) => {
    if (!cluster) return
    const { id } = cluster
    await cluster.shutdown()
    await untilGone(t, () => processesOf(id))
    t.deepEqual(files(), before)
  })
  return () => cluster
}
