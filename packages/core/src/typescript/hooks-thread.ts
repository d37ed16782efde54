import type { LoadHook, ResolveHook } from 'node:module'
import { isMissing, isTransformed, isTypeScript, isUnknown, parentOf, sourcesOf, transformed } from './sources.js'

// The hooks of hooks.ts as Node.js 20 takes them, which runs them in a thread of their own.

export const resolve: ResolveHook = async (specifier, context, nextResolve) => {
  try {
    return await nextResolve(specifier, { ...context, ...parentOf(specifier) })
  } catch (error) {
    for (const source of sourcesOf(specifier, error)) {
      try {
        return await nextResolve(source, context)
      } catch (another) {
        if (!isMissing(another)) throw another
      }
    }
    throw error
  }
}

export const load: LoadHook = async (url, context, nextLoad) => {
  if (!isTypeScript(url)) return nextLoad(url, context)
  try {
    const loaded = await nextLoad(url, context)
    if (isTransformed(loaded)) return loaded
  } catch (error) {
    if (!isUnknown(error)) throw error
  }
  return transformed(url)
}
