import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
// The compiler itself has no language service that a program could ask.
import ts from 'typescript-6'

/** What an editor shows of a name. */
export interface Shown {
  readonly type: string
  readonly comment: string
  /** Where it is defined: the file and the text there. */
  readonly definition: { readonly file: string; readonly text: string }
}

/**
 * Opens a file of this package as an editor does, and asks about the names that end where some texts end.
 *
 * @param file relative to src
 * @param ends texts that occur in the file; the first occurrence of each counts
 */
export function askEditor(file: string, ends: readonly string[]): Shown[] {
  const source = fileURLToPath(new URL(`../../src/${file}`, import.meta.url))
  const project = ts.findConfigFile(dirname(source), ts.sys.fileExists)!
  const { config } = ts.readConfigFile(project, ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, dirname(project))
  const service = ts.createLanguageService({
    ...ts.sys,
    useCaseSensitiveFileNames: () => ts.sys.useCaseSensitiveFileNames,
    getCompilationSettings: () => options,
    getScriptFileNames: () => [source],
    getScriptVersion: () => '1',
    getScriptSnapshot: (name) => {
      const text = ts.sys.readFile(name)
      return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text)
    },
    getDefaultLibFileName: ts.getDefaultLibFilePath,
  })
  const text = readFileSync(source, 'utf8')
  const shown = ends.map((end) => {
    const position = text.indexOf(end) + end.length - 1
    const info = service.getQuickInfoAtPosition(source, position)
    const [definition] = service.getDefinitionAtPosition(source, position) ?? []
    const { start, length } = definition?.contextSpan ?? { start: 0, length: 0 }
    return {
      type: ts.displayPartsToString(info?.displayParts),
      comment: ts.displayPartsToString(info?.documentation),
      definition: {
        file: definition?.fileName ?? '',
        text: definition ? readFileSync(definition.fileName, 'utf8').slice(start, start + length) : '',
      },
    }
  })
  service.dispose()
  return shown
}
