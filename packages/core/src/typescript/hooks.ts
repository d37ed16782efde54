import type { LoadFnOutput, LoadHookContext, ResolveFnOutput, ResolveHookContext } from 'node:module'
import { isMissing, isTransformed, isTypeScript, isUnknown, parentOf, sourcesOf, transformed } from './sources.js'

/** Hooks that run in the thread that imports, for `registerHooks` of Node.js 22.15 and later. */
export interface Hooks {
  resolve(
    specifier: string,
    context: ResolveHookContext,
    next: (specifier: string, context?: Partial<ResolveHookContext>) => ResolveFnOutput,
  ): ResolveFnOutput
  load(
    url: string,
    context: LoadHookContext,
    next: (url: string, context?: Partial<LoadHookContext>) => LoadFnOutput,
  ): LoadFnOutput
}

/** Finds `./counter.ts` where `./counter.js` is asked for and does not exist; transforms TypeScript that nothing else has. */
export const hooks: Hooks = {
  resolve(specifier, context, next) {
    try {
      return next(specifier, { ...context, ...parentOf(specifier) })
    } catch (error) {
      for (const source of sourcesOf(specifier, error)) {
        try {
          return next(source, context)
        } catch (another) {
          if (!isMissing(another)) throw another
        }
      }
      throw error
    }
  },
  load(url, context, next) {
    if (!isTypeScript(url)) return next(url, context)
    try {
      const loaded = next(url, context)
      if (isTransformed(loaded)) return loaded
    } catch (error) {
      if (!isUnknown(error)) throw error
    }
    return transformed(url)
  },
}
