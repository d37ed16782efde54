import type { Inventory } from '../protocol/listing.js'
import { encode } from '../transport/codec.js'
import { byteLengthOf } from '../transport/encoded.js'
import type { ObjectRef } from './ref.js'
import type { Runtime } from './runtime.js'

/** Objects and tasks that one process tells of. */
const MOST_TOLD = 10_000

type Objects = Inventory['objects']

const sizes = new WeakMap<ObjectRef<unknown>, number>()

/** Lists the objects and tasks that this process owns. */
export async function takeInventory(runtime: Runtime): Promise<Inventory> {
  const tasks = [...runtime.busyTasks].flatMap((client) => client.list()).slice(0, MOST_TOLD)
  return { pid: process.pid, objects: await objectsOf(runtime), tasks }
}

async function objectsOf({ objects }: Runtime): Promise<Objects> {
  const pending = new Promise<{ state: 'pending' }>((resolve) => setImmediate(resolve, { state: 'pending' }))
  return Promise.all(
    objects
      .list()
      .slice(0, MOST_TOLD)
      .map(async ({ ref, holders }) => {
        const outcome = ref.then(
          (value) => ({ state: 'ready' as const, size: sizeOf(ref, value) }),
          () => ({ state: 'failed' as const }),
        )
        return { id: ref.id, ...(await Promise.race([outcome, pending])), holders: [...holders] }
      }),
  )
}

function sizeOf(ref: ObjectRef<unknown>, value: unknown): number | undefined {
  const known = sizes.get(ref)
  if (known !== undefined) return known
  try {
    const encoded = encode(value, 'the value', false)
    for (const release of encoded.pins) release()
    const size = byteLengthOf(encoded)
    sizes.set(ref, size)
    return size
  } catch {
    return undefined
  }
}
