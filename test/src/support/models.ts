import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { root, shared } from './processes.js'

export const tales = join(root, 'models', 'tales')

/** A published text: the greedy tokens after a prompt, and for random-weight models the logits after the prompt. */
export interface Expectation {
  prompt: number[]
  greedy: number[]
  logits?: number[]
  text?: string
}

/** The folder of a model beside the project, or undefined, with a message, where it is missing. */
export function sharedModel(t: ExecutionContext, ...path: string[]): string | undefined {
  const folder = join(shared, ...path)
  if (existsSync(folder)) return folder
  t.log(`left out: ${path.join('/')} is not beside this checkout`)
  t.pass()
  return undefined
}

/**
 * Folders of random-weight models with what Hugging Face transformers computes for them: those beside the project, and
 * those in the folder that TROUPE_REFERENCES names.
 */
export function referenceModels(): { name: string; folder: string }[] {
  const parents = [join(shared, 'reference'), process.env.TROUPE_REFERENCES ?? []].flat()
  return parents.filter(existsSync).flatMap((parent) =>
    readdirSync(parent)
      .map((name) => ({ name, folder: join(parent, name) }))
      .filter(({ folder }) => existsSync(join(folder, 'expected.json'))),
  )
}

/** What a model of `sharedModel` is to give: one expectation, or one for each of several prompts. */
export function expectationsOf(folder: string): Expectation[] {
  const content = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'))
  return content.prompts ?? [content]
}
