import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { compileFunction, constants } from 'node:vm'

type Library = typeof import('@mlc-ai/web-xgrammar')

/**
 * XGrammar, as WebAssembly. Its package says that it is a module and holds a CommonJS script, so it is evaluated as one.
 * Whatever is wrong ends it for good, in `console.error` and an exception.
 */
export function matcherLibrary(): Library {
  const require = createRequire(import.meta.url)
  const path = require.resolve('@mlc-ai/web-xgrammar')
  const module = { exports: {} }
  const names = ['module', 'exports', 'require', '__filename', '__dirname']
  const script = compileFunction(readFileSync(path, 'utf8'), names, {
    filename: path,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  })
  script(module, module.exports, require, path, dirname(path))
  return module.exports as Library
}
