import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import { isGguf } from '../weights/checkpoint.js'
import { readJson } from '../weights/json.js'
import { checkParams } from './check-params.js'
import type { GenerationParams } from './params.js'

/** Parameters that a model's generation_config.json may give a default. */
export type GenerationDefaults = Pick<GenerationParams, 'temperature' | 'topK' | 'topP' | 'minP' | 'repetitionPenalty'>

/**
 * The parameters that a model's makers recommend: those of generation_config.json, where `do_sample: false` is temperature 0.
 * @throws InvalidInputError if one cannot be.
 */
export function generationDefaults(model: string, vocabularySize: number): GenerationDefaults {
  const path = join(model, 'generation_config.json')
  if (isGguf(model) || !existsSync(path)) return {}
  const config = readJson(path)
  const given = {
    temperature: config.do_sample === false ? 0 : config.temperature,
    topK: config.top_k === -1 ? 0 : config.top_k,
    topP: config.top_p,
    minP: config.min_p,
    repetitionPenalty: config.repetition_penalty,
  }
  const defaults = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined && value !== null),
  )
  try {
    checkParams(defaults, vocabularySize)
  } catch (error) {
    throw new InvalidInputError(`${path}: ${(error as Error).message}; correct the file`)
  }
  return defaults
}
