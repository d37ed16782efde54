import { InvalidInputError } from '@troupe/core'
import type { ConfigFields } from './config-fields.js'

/** Rotary position embedding: the angle that each pair of a head's dimensions turns by per position. */
export interface Rotary {
  /** [headSize / 2], radians per token. */
  frequencies: Float32Array
  /** A factor on cosines and sines. */
  scale: number
}

/** How YaRN stretches positions; names and defaults are those of transformers. */
export interface Yarn {
  factor: number
  /** The most tokens of the training before the stretch. */
  trained: number
  betaFast: number
  betaSlow: number
  /** Whether the range of dimensions that are interpolated starts and ends at whole ones. */
  truncate: boolean
}

/**
 * The rotary settings of a config.json. Newer files keep them in `rope_parameters`, older ones in `rope_theta` and
 * `rope_scaling`, whose type may be called `type`.
 * @param contextLength The most positions that the file gives, where YaRN's settings do not say what was trained.
 * @throws InvalidInputError if a setting is missing or of a type that is not computed here.
 */
export function rotaryFrom(fields: ConfigFields, headSize: number, contextLength: number): Rotary {
  const scaling = fields.group(fields.get('rope_parameters') === undefined ? 'rope_scaling' : 'rope_parameters')
  const outer = fields.positive('rope_theta', 10_000)
  const theta = scaling.positive('rope_theta', outer)
  for (const group of [scaling, fields]) {
    if ((group.get('partial_rotary_factor') ?? 1) !== 1) throw group.error('partial_rotary_factor', '1')
  }
  if (fields.flag('rope_interleaved', false)) throw fields.error('rope_interleaved', 'false')
  const type = scaling.get('rope_type') ?? scaling.get('type') ?? 'default'
  scaling.get('type')
  const rotary = scaled(type, scaling, theta, headSize, contextLength)
  scaling.refuseUnread()
  return rotary
}

function scaled(type: unknown, scaling: ConfigFields, theta: number, headSize: number, contextLength: number): Rotary {
  const frequencies = baseFrequencies(theta, headSize)
  switch (type) {
    case 'default':
      return { frequencies, scale: 1 }
    case 'linear':
      return linearRotary(frequencies, scaling.positive('factor'))
    case 'llama3':
      return { frequencies: llama3Frequencies(frequencies, scaling), scale: 1 }
    case 'yarn': {
      const yarn: Yarn = {
        factor: scaling.positive('factor'),
        trained: scaling.positive('original_max_position_embeddings', contextLength),
        betaFast: scaling.positive('beta_fast', 32),
        betaSlow: scaling.positive('beta_slow', 1),
        truncate: scaling.flag('truncate', true),
      }
      scaling.get('finetuned') // written by the method's authors; says where the weights come from
      return { frequencies: yarnFrequencies(frequencies, theta, yarn), scale: attentionFactor(scaling, yarn.factor) }
    }
    default:
      throw new InvalidInputError(
        `${scaling.path}: the rotary type ${JSON.stringify(type)} is not supported; supported: default, linear, llama3, yarn`,
      )
  }
}

/** theta^(-2i / d) for i in 0 … d/2 - 1 (arXiv 2104.09864, section 3.2.2), rounded as float32 libraries do. */
export function baseFrequencies(theta: number, headSize: number): Float32Array {
  return Float32Array.from(
    { length: headSize / 2 },
    (_, i) => 1 / Math.fround(theta ** Math.fround((2 * i) / headSize)),
  )
}

/** Position interpolation (arXiv 2306.15595): every frequency divided by `factor`. */
export function linearRotary(frequencies: Float32Array, factor: number): Rotary {
  return { frequencies: frequencies.map((frequency) => frequency / factor), scale: 1 }
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

/**
 * YaRN (arXiv 2309.00071, section 3.2): dimensions that turn more than `betaFast` times over the trained context keep
 * their frequency, those that turn less than `betaSlow` times are stretched by `factor`, with a ramp between.
 */
export function yarnFrequencies(frequencies: Float32Array, theta: number, yarn: Yarn): Float32Array {
  const headSize = frequencies.length * 2
  const dimensionOf = (turns: number) =>
    (headSize * Math.log(yarn.trained / (turns * 2 * Math.PI))) / (2 * Math.log(theta))
  const [fast, slow] = [dimensionOf(yarn.betaFast), dimensionOf(yarn.betaSlow)]
  const low = Math.max(yarn.truncate ? Math.floor(fast) : fast, 0)
  const high = Math.min(yarn.truncate ? Math.ceil(slow) : slow, headSize - 1)
  const width = low === high ? 0.001 : high - low
  return frequencies.map((frequency, i) => {
    const stretched = Math.min(1, Math.max(0, (i - low) / width))
    return (frequency / yarn.factor) * stretched + frequency * (1 - stretched)
  })
}

/** YaRN's factor on cosines and sines, by which attention's temperature falls (arXiv 2309.00071, section 3.4). */
function attentionFactor(scaling: ConfigFields, factor: number): number {
  const given = scaling.get('attention_factor')
  const scale = scaling.get('mscale')
  const scaleAll = scaling.get('mscale_all_dim')
  if (given !== undefined) return scaling.positive('attention_factor')
  if (scale && scaleAll) {
    return yarnScale(factor, scaling.positive('mscale')) / yarnScale(factor, scaling.positive('mscale_all_dim'))
  }
  return yarnScale(factor, 1)
}

export function yarnScale(factor: number, scale: number): number {
  return factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1
}
