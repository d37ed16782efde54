import { createRequire } from 'node:module'

const addon = createRequire(import.meta.url)('./build/Release/troupe.node')

export const {
  ChannelReader,
  ChannelSet,
  ChannelWriter,
  Communicator,
  Lookout,
  Program,
  Storage,
  Store,
  Waker,
  copyBytes,
  dieWithParent,
  gpuCount,
  kernelName,
  multiplyAddRate,
  ncclUniqueId,
  ncclVersion,
  readRate,
} = addon
