import { createRequire } from 'node:module'

const addon = createRequire(import.meta.url)('./build/Release/troupe.node')

export const {
  ChannelReader,
  ChannelSet,
  ChannelWriter,
  Communicator,
  Program,
  Storage,
  Store,
  Waker,
  dieWithParent,
  kernelName,
  multiplyAddRate,
  readRate,
} = addon
