/** Imports a module by its URL. TypeScript needs hooks that Node.js may lack; others need not wait for them. */
export async function importModule(url: string): Promise<Record<string, unknown>> {
  if (/\.m?tsx?$/.test(new URL(url).pathname)) await import('../typescript/register.js')
  return import(url)
}
