import { InvalidInputError } from '../common/errors.js'
import type { PlacementStrategy } from '../protocol/placement.js'
import { checkResources, type Resources } from '../protocol/resources.js'
import { currentRuntime } from '../runtime/current.js'
import { randomId } from '../transport/connection-manager.js'

/** Resources that were reserved together, for the actors and tasks that name this group. */
export class PlacementGroup {
  /** @internal */
  constructor(
    readonly id: string,
    /**
     * The node of each bundle when they were reserved. A bundle whose node is lost is reserved on another one that has room.
     */
    readonly nodeIds: readonly string[],
  ) {}

  /** Ends the actors and tasks of the group, and frees its resources. */
  async remove(): Promise<void> {
    await currentRuntime().head.removeGroup(this.id)
  }

  /** {@link remove}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove()
  }
}

/**
 * Reserves resources together, once all of them are free. They belong to this process until the group is removed.
 *
 * @param bundles the resources of each bundle, which are on one node
 * @param strategy `PACK`: on few nodes; `SPREAD`: over many; `STRICT_PACK`: all on one; `STRICT_SPREAD`: each on its own
 * @throws InvalidInputError if a bundle is malformed, or they could never be reserved on the nodes of the cluster
 * @example
 * ```ts
 * await using group = await placementGroup([{ gpu: 1 }, { gpu: 1 }], 'STRICT_SPREAD')
 * const mesh = await RemoteTrainer.options({ placementGroup: group, resources: { gpu: 1 } }).spawnMesh({ replica: 2 })
 * ```
 */
export async function placementGroup(
  bundles: readonly Resources[],
  strategy: PlacementStrategy = 'PACK',
): Promise<PlacementGroup> {
  if (bundles.length === 0) throw new InvalidInputError('a placement group needs at least one bundle')
  for (const bundle of bundles) checkResources(bundle)
  const id = randomId()
  return new PlacementGroup(id, await currentRuntime().head.reserve({ id, bundles, strategy }))
}
