import { InvalidInputError } from '../api/errors.js'

/** Imports a module by its URL. TypeScript needs hooks that Node.js may lack; others need not wait for them. */
export async function importModule(url: string): Promise<Record<string, unknown>> {
  if (/\.m?tsx?$/.test(new URL(url).pathname)) await import('../typescript/register.js')
  return import(url)
}

/**
 * Imports a module that is given so many milliseconds for it.
 *
 * @throws InvalidInputError if what the module awaits at its top level has not come by then
 */
export async function importWithin(url: string, timeout: number): Promise<Record<string, unknown>> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const advice = 'see what it awaits at its top level'
    const giveUp = () => reject(new InvalidInputError(`${url} was not imported within ${timeout / 1000} s; ${advice}`))
    timer = setTimeout(giveUp, timeout)
  })
  try {
    return await Promise.race([importModule(url), late])
  } finally {
    clearTimeout(timer)
  }
}
