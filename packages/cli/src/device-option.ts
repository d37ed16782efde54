import { InvalidInputError } from '@troupe/core'
import { DEVICE_KINDS, type DeviceKind } from '@troupe/llm'

export const deviceOption = {
  type: 'string',
  placeholder: 'DEVICE',
  help: `where workers compute: ${DEVICE_KINDS.join(', ')}; cpu by default`,
} as const

/**
 * The engine's option for `--device`.
 * @throws InvalidInputError unless it is left out or names a kind of device.
 */
export function device(name: string | undefined): { device?: DeviceKind } {
  if (name === undefined) return {}
  const kind = DEVICE_KINDS.find((known) => known === name)
  if (kind) return { device: kind }
  throw new InvalidInputError(`--device must be ${DEVICE_KINDS.join(', ')}; found ${name}`)
}
