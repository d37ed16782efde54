import { register } from 'node:module'

// Lets this thread import TypeScript sources as they are: `node --import @troupe/core/typescript app.ts`.

register('./hooks.js', import.meta.url)
process.setSourceMapsEnabled(true)
