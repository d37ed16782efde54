import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { InvalidInputError } from '../common/errors.js'
import { memoryOfHost } from '../common/host-memory.js'

/** Amounts by name: `cpu`, `gpu` and `memory` (bytes), which every node has, and whatever else nodes declare. */
export type Resources = Readonly<Record<string, number>>

/** Counts the resources of this host, with those that its owner declares beside or instead. */
export function resourcesOfHost(declared: Resources = {}): Resources {
  return { cpu: availableParallelism(), gpu: countGpus(), memory: memoryOfHost(), ...declared }
}

function countGpus(): number {
  const visible = process.env.CUDA_VISIBLE_DEVICES
  if (visible !== undefined) return visible.split(',').filter((device) => device !== '' && device !== '-1').length
  try {
    return readdirSync('/dev').filter((name) => /^nvidia\d+$/.test(name)).length
  } catch {
    return 0
  }
}

/** The value of CUDA_VISIBLE_DEVICES for some GPUs of a node, whose own value tells which ones of its host it has. */
export function visibleDevices(gpus: readonly number[], nodesValue: string | undefined): string {
  const devices = nodesValue?.split(',')
  return gpus.map((index) => devices?.[index] ?? index).join(',')
}

/** @throws InvalidInputError if an amount is negative or no number, or asks for a GPU and a part of another */
export function checkResources(resources: Resources): void {
  for (const [name, amount] of Object.entries(resources)) {
    if (!Number.isFinite(amount) || amount < 0) {
      throw new InvalidInputError(`the resource ${name} must be a number of at least 0, found ${amount}`)
    }
  }
  const { gpu = 0 } = resources
  if (gpu > 1 && !Number.isInteger(gpu)) {
    throw new InvalidInputError(`gpu must be a whole number or below 1, found ${gpu}`)
  }
}
