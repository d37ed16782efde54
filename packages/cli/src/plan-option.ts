import { InvalidInputError } from '@troupe/core'

/** `--plan auto`, in place of the sizes of the dimensions. */
export const planOption = {
  type: 'string',
  placeholder: 'auto',
  help: 'auto: the split that `troupe plan` predicts to be best, in place of --pipeline, --tensor and --sequence',
} as const

/**
 * Whether the plan is to be chosen.
 * @throws InvalidInputError if --plan is something else than auto, or sizes are given too.
 */
export function isAutomatic(options: {
  plan: string | undefined
  pipeline: number
  tensor: number
  sequence: number
}): boolean {
  const { plan, pipeline, tensor, sequence } = options
  if (plan === undefined) return false
  if (plan !== 'auto') throw new InvalidInputError(`--plan must be auto, found ${plan}`)
  if (pipeline * tensor * sequence === 1) return true
  throw new InvalidInputError('--plan auto chooses --pipeline, --tensor and --sequence; leave them out')
}
