import { type CollectiveRequest, Storage } from '@troupe/native'
import { kindOf } from '../device.js'
import type { Region } from './backend.js'
import { backendOf } from './backends.js'
import { nativeRegion } from './native-memory.js'

/** A collective operation whose operands may be on any device. */
export interface StagedRequest extends Omit<CollectiveRequest, 'input' | 'output'> {
  input?: Region | undefined
  output?: Region | undefined
}

/** Whether native code reaches an operand where it is. */
export function isNative(region: Region | undefined): boolean {
  return region === undefined || kindOf(region.storage.device) !== 'webgpu'
}

/** Runs operations on copies in shared memory of the operands that native code cannot reach, and copies what they give back. */
export async function runStaged(
  requests: readonly StagedRequest[],
  run: (requests: CollectiveRequest[]) => Promise<void>,
): Promise<void> {
  const staged = await Promise.all(
    requests.map(async ({ input, output, ...request }) => {
      const isInPlace = input !== undefined && isSame(input, output)
      const from = await hostCopy(input, true)
      const to = isInPlace ? from : await hostCopy(output, false)
      return { request, output, from, to }
    }),
  )
  await run(
    staged.map(({ request, from, to }) => ({
      ...request,
      input: from && nativeRegion(from),
      output: to && nativeRegion(to),
    })),
  )
  for (const { output, to } of staged) {
    if (output && to && !isNative(output)) await backendOf(output.storage.device).copy(to, output)
  }
}

function isSame(a: Region, b: Region | undefined): boolean {
  return a.storage === b?.storage && a.offset === b.offset && a.bytes === b.bytes
}

async function hostCopy(region: Region | undefined, isRead: boolean): Promise<Region | undefined> {
  if (region === undefined || isNative(region)) return region
  const copy = { storage: new Storage(region.bytes, true), offset: 0, bytes: region.bytes }
  if (isRead) await backendOf(region.storage.device).copy(region, copy)
  return copy
}
