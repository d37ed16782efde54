import { createRequire } from 'node:module'

// TROUPE_ADDON names another build, such as one under a sanitizer.
const addon = createRequire(import.meta.url)(process.env.TROUPE_ADDON || './build/Release/troupe.node')

export const {
  ChannelReader,
  ChannelSet,
  ChannelWriter,
  Communicator,
  Program,
  RingPoller,
  Storage,
  Store,
  Waker,
  addTime,
  adoptOrphans,
  checkOperation,
  compute,
  copyBytes,
  dieWithParent,
  gpuCount,
  gpuName,
  kernelName,
  multiplyAddRate,
  ncclUniqueId,
  ncclVersion,
  packFile,
  packRows,
  packedBytes,
  pageCosts,
  readRate,
  reap,
} = addon
