import type { Engine } from './engine.js'

/**
 * A model's perplexity on a text: e to the mean of -log p(token | tokens before it). The text is cut into windows of
 * `window` tokens; a window's first token is not scored, and no token sees those of another window.
 * @returns The perplexity and how many tokens it is the mean over, which is 0, and the perplexity NaN, for no text.
 */
export async function perplexity(
  engine: Engine,
  tokens: readonly number[],
  window: number,
): Promise<{ perplexity: number; tokens: number }> {
  let sum = 0
  let scored = 0
  for (let start = 0; start + 1 < tokens.length; start += window) {
    for (const score of await engine.score(tokens.slice(start, start + window))) {
      sum -= score
      scored++
    }
  }
  return { perplexity: Math.exp(sum / scored), tokens: scored }
}
