import { InvalidInputError } from '@troupe/core'
import { PROGRAM_DEVICES, type ProgramDevice } from '@troupe/llm'

export const deviceOption = {
  type: 'string',
  placeholder: 'DEVICE',
  help: `where workers compute: ${PROGRAM_DEVICES.join(', ')}; cpu by default`,
} as const

/**
 * The engine's option for `--device`.
 * @throws InvalidInputError unless it is left out or names a kind of device.
 */
export function device(name: string | undefined): { device?: ProgramDevice } {
  if (name === undefined) return {}
  const kind = PROGRAM_DEVICES.find((known) => known === name)
  if (kind) return { device: kind }
  throw new InvalidInputError(`--device must be ${PROGRAM_DEVICES.join(', ')}; found ${name}`)
}
