import type { FamilyConfig } from './config.js'
import type { ConfigFields } from './config-fields.js'

const KINDS = { full_attention: false, sliding_attention: true } as const

/**
 * Which layers attend over a sliding window, as Qwen's config.json says it: `layer_types` names each layer's kind; where
 * it is missing and `use_sliding_window` is set, layers from `max_window_layers` on slide.
 * @throws InvalidInputError if layer_types does not fit the layers, or a layer slides without a window.
 */
export function slidingLayersFrom(fields: ConfigFields, layers: number): FamilyConfig {
  const sliding = fields.flag('use_sliding_window', false)
  const firstSliding = fields.get('max_window_layers') === undefined ? 28 : Number(fields.get('max_window_layers'))
  const slidingWindow = sliding ? fields.count('sliding_window', 4096) : undefined
  fields.get('sliding_window') // without use_sliding_window it has no meaning
  const types = fields.get('layer_types')
  if (types === undefined) {
    return { slidingWindow, slidingLayers: Array.from({ length: layers }, (_, i) => sliding && i >= firstSliding) }
  }
  if (!Array.isArray(types) || types.length !== layers || types.some((type) => !Object.hasOwn(KINDS, type))) {
    throw fields.error('layer_types', `${layers} of ${Object.keys(KINDS).join(' and ')}`)
  }
  const slidingLayers = types.map((type: keyof typeof KINDS) => KINDS[type])
  if (!sliding && slidingLayers.includes(true)) {
    throw fields.error('use_sliding_window', 'true where layer_types has sliding_attention')
  }
  return { slidingWindow, slidingLayers }
}
