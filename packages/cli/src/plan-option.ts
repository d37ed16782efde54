import { InvalidInputError } from '@troupe/core'

/** `--plan auto`, in place of the sizes of the dimensions. */
export const planOption = {
  type: 'string',
  placeholder: 'auto',
  help: 'auto: the split that `troupe plan` predicts to be best, in place of --pipeline, --tensor and --sequence',
} as const

const degree = (help: string) => ({ type: 'integer', min: 1, default: 1, help }) as const

/** The sizes of a plan's dimensions. */
export const degreeOptions = {
  pipeline: degree('stages: workers that hold some of the layers each'),
  tensor: degree("shards: workers that hold some of each layer's heads and columns"),
  sequence: degree('chunks: workers that hold some of the tokens with their keys and values'),
}

/** Where a model runs, as commands that start one have it. */
export const placeOptions = {
  threads: {
    type: 'integer',
    min: 1,
    help: "CPU threads a worker; the node's cores divided among its workers by default",
  },
  address: {
    type: 'string',
    placeholder: 'HOST:PORT',
    help: 'run on the cluster of the head that listens there, not on one of its own',
  },
} as const

/** `replicas`, as commands have it that start several. */
export const replicasOption = degree('copies of the model, among which requests are divided')

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
