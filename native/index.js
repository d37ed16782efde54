import { createRequire } from 'node:module'

const addon = createRequire(import.meta.url)('./build/Release/troupe.node')

export const { Communicator, Lookout, Program, Storage, dieWithParent, kernelName, multiplyAddRate, readRate } = addon
