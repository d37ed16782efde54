export type { ServedModel } from './model.js'
export type { ServeOptions } from './options.js'
export { type RunningServer, serve } from './server.js'
