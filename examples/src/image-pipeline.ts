// An image pipeline: one actor smooths batches of images, the next finds edges in them, while the first has the next batch.
import { actor, connect, isMain } from '@troupe/core'
import { convolve, type DeviceName, openDevice, Tensor } from '@troupe/tensor'

export class Filter {
  private readonly device: Promise<DeviceName>

  /** @param filters [outputs][3 · 3] */
  constructor(
    private readonly filters: number[][],
    device: DeviceName,
  ) {
    this.device = openDevice(device)
  }

  /** The largest response of any filter: [n, 1, h, w] → [n, 1, h, w]. */
  async apply(images: Tensor): Promise<Tensor> {
    const device = await this.device
    const filters = Tensor.from('float32', [this.filters.length, 1, 3, 3], this.filters.flat())
    const responses = convolve(await images.to(device), await filters.to(device), { padding: 1 }).abs()
    return responses.max(1, { keepDims: true }).to('cpu')
  }
}

const RemoteFilter = actor(import.meta.url, Filter)

/** Images [n, 1, 16, 16] of a bright square, each larger than the one before. */
function squares(count: number, smallest: number): Tensor {
  const bright = (image: number, at: number) => at % 16 < smallest + image && Math.floor(at / 16) < smallest + image
  const pixels = Array.from({ length: count * 256 }, (_, i) => (bright(Math.floor(i / 256), i % 256) ? 1 : 0))
  return Tensor.from('float32', [count, 1, 16, 16], pixels)
}

if (isMain(import.meta)) {
  const device = (process.argv[2] ?? 'cpu') as DeviceName
  await using _cluster = await connect()
  const smooth = await RemoteFilter.spawn([[1, 2, 1, 2, 4, 2, 1, 2, 1].map((weight) => weight / 16)], device)
  const edges = await RemoteFilter.spawn(
    [
      [-1, 0, 1, -2, 0, 2, -1, 0, 1],
      [-1, -2, -1, 0, 0, 0, 1, 2, 1],
    ],
    device,
  )
  const found = [4, 8].map((smallest) => edges.apply(smooth.apply(squares(3, smallest))))
  for (const batch of await Promise.all(found)) {
    // Away from the borders, where the padding is an edge too.
    const inner = batch.slice(undefined, 0, [2, -2], [2, -2])
    const counts = inner.greater(1).astype('int32').sum([1, 2])
    console.log([...(counts as Tensor<'int64'>).data].join(' '))
  }
}
