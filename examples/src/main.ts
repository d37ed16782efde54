import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Whether a module is the program that was started, and was not imported by a worker. */
export function isMain(module: string): boolean {
  return process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(module)
}

/** The folder that the models are in. */
export const root = fileURLToPath(new URL('../..', import.meta.url))
