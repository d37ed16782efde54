import { randomUUID } from 'node:crypto'
import { softwareGpu } from './scripts/software-gpu.mjs'

export default {
  files: ['packages/*/dist/**/*.test.js', 'examples/dist/**/*.test.js', 'test/dist/**/*.test.js'],
  // Tests start processes of their own; two cores carry two files of them at a time.
  concurrency: 2,
  timeout: '3m',
  workerThreads: false,
  // What the home folder has does not matter, and tests of other checkouts do not get into the heads of these.
  environmentVariables: { TROUPE_TOKEN: randomUUID(), ...softwareGpu() },
}
