import { InvalidInputError } from '../common/errors.js'
import type { PlaceRequest } from '../protocol/placement.js'
import { checkResources, type Resources } from '../protocol/resources.js'
import type { PlacementGroup } from './placement-group.js'

/**
 * Options that say which resources an actor or a task needs, and where it may run. Without any of these the cluster spreads
 * evenly.
 */
export interface PlaceOptions {
  /**
   * Resources that it holds of its node while it lives: `cpu`, `gpu` (a part below 1, or whole ones), `memory` in bytes, and
   * those that nodes declare beside. Actors need nothing by default, tasks one CPU. An actor or task with GPUs sees only its
   * own (CUDA_VISIBLE_DEVICES).
   */
  readonly resources?: Resources
  /** The node it must run on, one of `cluster.nodes()`. */
  readonly nodeId?: string
  /** Labels that its node must have. */
  readonly labels?: Readonly<Record<string, string>>
  /** The placement group that its resources come out of. The members of a mesh go to its bundles one after the other. */
  readonly placementGroup?: PlacementGroup
  /** The index of the bundle in the placement group; 0 by default, and for a mesh each in turn. */
  readonly bundle?: number
}

/** @throws InvalidInputError if an option is out of range */
export function checkPlaceOptions({ resources, placementGroup, bundle }: PlaceOptions): void {
  checkResources(resources ?? {})
  if (bundle === undefined) return
  if (!placementGroup) throw new InvalidInputError('bundle needs a placementGroup that it is one of')
  if (!(bundle in placementGroup.nodeIds)) {
    const last = placementGroup.nodeIds.length - 1
    throw new InvalidInputError(`bundle must be an integer from 0 to ${last}, found ${bundle}`)
  }
}

/** The head's request for what the options say. */
export function placeRequest(
  { resources, nodeId, labels, placementGroup, bundle }: PlaceOptions,
  needed: Resources,
): PlaceRequest {
  return {
    resources: resources ?? needed,
    nodeId,
    labels,
    bundle: placementGroup && { group: placementGroup.id, index: bundle ?? 0 },
    bundles: placementGroup && bundle === undefined ? placementGroup.nodeIds.length : 1,
  }
}
