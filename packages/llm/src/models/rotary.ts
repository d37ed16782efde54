import { InvalidInputError } from '@troupe/core'
import { ConfigFields } from './config.js'

/** Rotary position embedding: the angle that each pair of a head's dimensions turns by per position. */
export interface Rotary {
  /** [headSize / 2], radians per token. */
  frequencies: Float32Array
  /** A factor on cosines and sines. */
  scale: number
}

/**
 * The rotary settings of a config.json. Newer files keep them in `rope_parameters`, older ones in `rope_theta` and
 * `rope_scaling`, whose type may be called `type`.
 * @throws InvalidInputError if a setting is missing or of a type that is not computed here.
 */
export function rotaryFrom(fields: ConfigFields, headSize: number): Rotary {
  const group = fields.get('rope_parameters') ?? fields.get('rope_scaling') ?? {}
  const scaling = new ConfigFields(fields.path, group as Record<string, unknown>)
  const theta =
    scaling.get('rope_theta') === undefined ? fields.positive('rope_theta', 10_000) : scaling.positive('rope_theta')
  const partial = scaling.get('partial_rotary_factor') ?? fields.get('partial_rotary_factor') ?? 1
  if (partial !== 1) throw fields.error('partial_rotary_factor', '1')
  const frequencies = baseFrequencies(theta, headSize)
  const type = scaling.get('rope_type') ?? scaling.get('type') ?? 'default'
  switch (type) {
    case 'default':
      return { frequencies, scale: 1 }
    case 'linear': {
      const factor = scaling.positive('factor')
      return { frequencies: frequencies.map((frequency) => frequency / factor), scale: 1 }
    }
    case 'llama3':
      return { frequencies: llama3Frequencies(frequencies, scaling), scale: 1 }
    default:
      throw new InvalidInputError(
        `${fields.path}: the rotary type ${JSON.stringify(type)} is not supported; supported: default, linear, llama3`,
      )
  }
}

/** theta^(-2i / d) for i in 0 … d/2 - 1 (arXiv 2104.09864, section 3.2.2), rounded as float32 libraries do. */
function baseFrequencies(theta: number, headSize: number): Float32Array {
  return Float32Array.from(
    { length: headSize / 2 },
    (_, i) => 1 / Math.fround(theta ** Math.fround((2 * i) / headSize)),
  )
}

/** Llama 3's scaling: long wavelengths are stretched by `factor`, short ones kept, those between interpolated. */
function llama3Frequencies(frequencies: Float32Array, scaling: ConfigFields): Float32Array {
  const factor = scaling.positive('factor')
  const low = scaling.positive('low_freq_factor')
  const high = scaling.positive('high_freq_factor')
  const trained = scaling.positive('original_max_position_embeddings')
  return frequencies.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency
    if (wavelength < trained / high) return frequency
    if (wavelength > trained / low) return frequency / factor
    const smooth = (trained / wavelength - low) / (high - low)
    return ((1 - smooth) * frequency) / factor + smooth * frequency
  })
}
