import module from 'node:module'
import { type Hooks, hooks } from './hooks.js'

// Lets this thread import TypeScript sources as they are: `node --import @troupe/core/typescript app.ts`.

const { registerHooks } = module as { registerHooks?: (hooks: Hooks) => void }
if (registerHooks) registerHooks(hooks)
else module.register('./hooks-thread.js', import.meta.url)
process.setSourceMapsEnabled(true)
