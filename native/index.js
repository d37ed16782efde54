import { createRequire } from 'node:module'

const addon = createRequire(import.meta.url)('./build/Release/troupe.node')

export const {
  Communicator,
  Lookout,
  Program,
  Storage,
  copyBytes,
  dieWithParent,
  gpuCount,
  kernelName,
  multiplyAddRate,
  ncclUniqueId,
  ncclVersion,
  readRate,
} = addon
