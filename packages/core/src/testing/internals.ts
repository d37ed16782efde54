// What actors of tests see of this package beside what it exports: under this name, since a worker has only one of each module.

export { borrowedCount } from '../runtime/borrowed-ref.js'
export { currentRuntime } from '../runtime/current.js'
