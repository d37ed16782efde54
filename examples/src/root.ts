import { fileURLToPath } from 'node:url'

/** The folder that the models are in. */
export const root = fileURLToPath(new URL('../..', import.meta.url))
