import { InvalidInputError } from '@troupe/core'
import { PRECISIONS, type Precision } from '@troupe/llm'

export const communicationOption = {
  type: 'string',
  placeholder: 'TYPE',
  help: `how shards send each other what they sum: ${PRECISIONS.join(', ')}; fewer bits are for slow networks, and cost accuracy`,
} as const

/**
 * The engine's option for `--communication`.
 * @throws InvalidInputError unless it is left out or names a type that shards can send.
 */
export function communication(name: string | undefined): { communication?: Precision } {
  if (name === undefined) return {}
  const precision = PRECISIONS.find((known) => known === name)
  if (precision) return { communication: precision }
  throw new InvalidInputError(`--communication must be ${PRECISIONS.join(', ')}; found ${name}`)
}
