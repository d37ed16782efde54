import { existsSync } from 'node:fs'
import { InvalidInputError } from '@troupe/core'
import { type Checkpoint, isGguf } from '../weights/checkpoint.js'
import { GgufCheckpoint } from '../weights/gguf-checkpoint.js'
import { SafetensorsCheckpoint } from '../weights/safetensors-checkpoint.js'
import { ggufConfig } from './gguf-config.js'

/**
 * The weights of a Hugging Face directory or a GGUF file.
 * @throws InvalidInputError if files are missing or unsound.
 */
export function openCheckpoint(model: string): Checkpoint {
  if (!existsSync(model)) {
    throw new InvalidInputError(`no model at ${model}; expected a Hugging Face model directory or a GGUF file`)
  }
  return isGguf(model)
    ? new GgufCheckpoint(model, (gguf) => ggufConfig(gguf).headSize)
    : new SafetensorsCheckpoint(model)
}
