import { BlockPool, CachedSequence, greedyStep, readConfig, type Step, Tokenizer } from '@troupe/llm'
import { root } from './root.js'

export const model = `${root}/models/tales`
export const tokenizer = (await Tokenizer.open(model))!
export const limits = { tokens: 64, contextLength: 256 }

/** A text that is made by steps of the caller's own, without an engine. */
export class Text {
  readonly cached = new CachedSequence(new BlockPool(1, limits.contextLength / 16, 16), 0)

  /** The step that computes some tokens, and the likeliest token after the last of them, or after each. */
  step(ids: readonly number[], outputs: 'last' | 'all' = 'last'): Step {
    return greedyStep([{ cached: this.cached, ids, outputs }], readConfig(model).slidingWindow)
  }
}
