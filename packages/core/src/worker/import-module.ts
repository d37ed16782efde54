import { setImmediate as nextTurn } from 'node:timers/promises'
/** Imports a module by its URL. TypeScript needs hooks that Node.js may lack; others need not wait for them. */
export async function importModule(url: string): Promise<Record<string, unknown>> {
  // Answers from before leave first: from version 22 on Node.js may run a module, for as long as that takes, in this turn.
  await nextTurn()
  if (/\.m?tsx?$/.test(new URL(url).pathname)) await import('../typescript/register.js')
  return import(url)
}
