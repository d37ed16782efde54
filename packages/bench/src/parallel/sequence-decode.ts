import type { Cluster, Mesh } from '@troupe/core'
import { readConfig } from '@troupe/llm'
import type { Figure } from '../benchmark.js'
import { type AttentionRank, RemoteAttentionRank } from './attention-rank.js'
import { interleave } from './interleave.js'
import type { Sizes } from './parallel.js'

/** Attention of a token while decoding after a long prompt: all layers, by two sequence ranks beside one worker. */
export async function* sequenceDecode(_cluster: Cluster, sizes: Sizes): AsyncGenerator<Figure> {
  const { model, runs, decode, longPrefill } = sizes
  const config = readConfig(model)
  const start = async (ranks: number) => {
    const mesh = await RemoteAttentionRank.spawnMesh({ sequence: ranks }, (): [] => [])
    const invitation = ranks > 1 ? mesh.communicator('sequence') : undefined
    await Promise.all(
      mesh.members.map(({ handle, coordinates }) =>
        handle.prepare({ config, depth: longPrefill, ranks }, coordinates.sequence!, invitation),
      ),
    )
    return mesh
  }
  const measure = (mesh: Mesh<AttentionRank>) => async () => {
    const [time] = await Promise.all(mesh.members.map(({ handle }) => handle.measure(decode)))
    return { time: time! }
  }
  const [alone, chunks] = [await start(1), await start(2)]
  const found = await interleave({ alone: measure(alone), chunks: measure(chunks) }, runs)
  await alone.stop()
  await chunks.stop()

  yield { name: 'sequence2.decode', unit: 'x', value: found.alone.time / found.chunks.time }
  yield { name: 'sequence2.decode.attention', unit: 'ms', value: found.chunks.time }
  yield { name: 'alone.decode.attention', unit: 'ms', value: found.alone.time }
}
