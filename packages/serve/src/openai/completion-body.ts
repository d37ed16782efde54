import type { GenerationParams } from '@troupe/llm'
import { z } from 'zod'
import { badRequest } from '../http/api-error.js'
import { defined, samplingFields, samplingParamsOf, structureFields, structureOf } from './sampling.js'

/** The most tokens of a completion whose body does not say how many, as in OpenAI's API. */
const DEFAULT_MAX_TOKENS = 16

const tokens = z.array(z.int().min(0)).min(1)

/** A text or its tokens. */
export const textOrTokens = z.union([z.string(), tokens])

/** One text or several, each as it is or as tokens. */
export const oneOrMore = z.union([z.string(), tokens, z.array(textOrTokens).min(1).max(2048)])

/** The texts of {@link oneOrMore}, as a list. */
export function asList(given: z.infer<typeof oneOrMore>): (string | number[])[] {
  if (typeof given === 'string') return [given]
  return typeof given[0] === 'number' ? [given as number[]] : (given as (string | number[])[])
}

/** The body of `POST /v1/completions`. */
export const completionBody = z.object({
  model: z.string(),
  prompt: oneOrMore,
  ...samplingFields,
  ...structureFields,
  logprobs: z.int().min(0).max(20).nullish(),
  echo: z.boolean().nullish(),
  suffix: z.string().nullish(),
  best_of: z.int().nullish(),
})

/** The body of `POST /v1/completions`. */
export type CompletionBody = z.infer<typeof completionBody>

/**
 * How the texts are continued.
 * @throws ApiError if the body asks for what no model here can do
 */
export function completionParamsOf(body: CompletionBody): GenerationParams {
  if (body.suffix)
    throw badRequest('suffix is not supported: models here continue texts, they do not fill gaps', 'suffix')
  if (body.best_of && body.best_of !== (body.n ?? 1)) {
    throw badRequest('best_of is not supported; ask for n answers with logprobs, and choose among them', 'best_of')
  }
  if (body.echo && typeof body.logprobs === 'number') {
    throw badRequest('echo with logprobs is not supported: prompts have no log-probabilities here', 'echo')
  }
  return {
    ...samplingParamsOf(body),
    maxTokens: body.max_tokens ?? DEFAULT_MAX_TOKENS,
    ...defined({ logProbs: body.logprobs, structure: structureOf(body) }),
  }
}
