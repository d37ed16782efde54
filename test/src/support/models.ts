import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './processes.js'

/** The model that ships with Troupe. */
export const tales = join(root, 'models', 'tales')

const models = join(root, 'test', 'models')

/** A published model, as a Hugging Face directory that has a GGUF file of the same weights too. */
export const stories = join(models, 'stories260k')

/** A published text: the greedy tokens after a prompt, and for random-weight models the logits after the prompt. */
export interface Expectation {
  prompt: number[]
  greedy: number[]
  logits?: number[]
  text?: string
}

/**
 * Folders of random-weight models with what Hugging Face transformers computes for them: those of test/models, and those in
 * the folder that TROUPE_REFERENCES names.
 */
export function referenceModels(): { name: string; folder: string }[] {
  return [models, process.env.TROUPE_REFERENCES ?? []].flat().flatMap((parent) =>
    readdirSync(parent)
      .map((name) => ({ name, folder: join(parent, name) }))
      .filter(({ folder }) => folder !== stories && existsSync(join(folder, 'expected.json'))),
  )
}

/** What a model is to give: one expectation, or one for each of several prompts. */
export function expectationsOf(folder: string): Expectation[] {
  const content = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'))
  return content.prompts ?? [content]
}
