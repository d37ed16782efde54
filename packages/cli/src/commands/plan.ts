import { connect, InvalidInputError } from '@troupe/core'
import {
  type Calibration,
  calibrate,
  checkFormats,
  type Dimension,
  type ModelShape,
  type Objective,
  readClusterFile,
  readModelShape,
  searchPlans,
  type Workload,
} from '@troupe/llm'
import { cacheType, cacheTypeOptions } from '../cache-type.js'
import { command } from '../command.js'
import { loadFormat } from '../load-format.js'
import { modelPath } from '../model.js'
import { show } from '../observe.js'
import { planJson, planReport } from '../plan-report.js'

const DIMENSIONS: readonly Dimension[] = ['tensor', 'sequence', 'pipeline']

/** `troupe plan`: predicts how fast a model would run in every way to split it. */
export const plan = command({
  name: 'plan',
  argument: 'MODEL',
  summary: 'Predict the memory and speed of ways to split a language model, and choose one',
  description:
    'MODEL is a Hugging Face model directory, a GGUF file, or a name on the Hugging Face hub; of a directory, config.json is enough\n' +
    'with --weights. The cluster is described by a file, or is one that runs, whose nodes are measured for some seconds and the\n' +
    'figures kept; this host by default.',
  options: {
    cluster: { type: 'string', placeholder: 'FILE', help: 'a description of nodes and links, which need not exist' },
    address: { type: 'string', placeholder: 'HOST:PORT', help: 'the cluster of the head that listens there' },
    recalibrate: { type: 'boolean', help: 'measure the nodes again' },
    weights: { type: 'string', placeholder: 'FORMAT', help: 'plan for weights that are quantized to q8_0 or q4_0' },
    ...cacheTypeOptions,
    prompt: { type: 'integer', min: 1, default: 512, help: 'tokens of a prompt' },
    output: { type: 'integer', min: 1, default: 128, help: 'tokens of an answer' },
    concurrency: { type: 'integer', min: 1, default: 1, help: 'requests at a time' },
    chunk: {
      type: 'integer',
      min: 1,
      help: 'the most prompt tokens that one step takes; 256, or 128 of a pipeline, by default',
    },
    objective: {
      type: 'string',
      default: 'latency',
      placeholder: 'latency|throughput',
      help: 'what a plan is to be good at',
    },
    mapping: {
      type: 'string',
      default: DIMENSIONS.join(),
      placeholder: 'DIM,DIM,DIM',
      help: 'dimensions of the mesh from the one whose workers are closest together on',
    },
    json: { type: 'boolean', help: 'print every plan as JSON, times in seconds and memory in bytes' },
  },
  async run(options, model) {
    if (model === undefined) throw new InvalidInputError('expected a model; see `troupe plan --help`')
    if (options.cluster !== undefined && (options.address !== undefined || options.recalibrate)) {
      throw new InvalidInputError('--cluster takes a file in place of a cluster that runs; leave --address out')
    }
    const cache = cacheType(options)
    const shape = readModelShape(await modelPath(model), loadFormat(options.weights).weights, cache.cacheType)
    const workload: Workload = {
      promptTokens: options.prompt,
      outputTokens: options.output,
      concurrency: options.concurrency,
      ...(options.chunk === undefined ? {} : { chunkTokens: options.chunk }),
      cachedTokens: 0,
      objective: objectiveOf(options.objective),
    }
    const mapping = mappingOf(options.mapping)
    const { cluster, path } =
      options.cluster === undefined
        ? await measured(options.address, shape, options.recalibrate)
        : { cluster: readClusterFile(options.cluster), path: options.cluster }
    checkFormats(cluster, shape, path)
    const result = searchPlans(cluster, shape, workload, { mapping, sizes: cache })
    show(options.json, planJson(shape, workload, result), () => planReport(result, workload))
    if (!result.chosen) process.exitCode = 1
  },
})

async function measured(address: string | undefined, shape: ModelShape, again: boolean): Promise<Calibration> {
  await using cluster = await connect(address === undefined ? {} : { address })
  const calibration = await calibrate(cluster, shape, again)
  const how = calibration.isCached ? 'measured before: ' : 'measured, and kept in '
  process.stderr.write(`nodes ${how}${calibration.path}\n`)
  return calibration
}

function objectiveOf(name: string): Objective {
  if (name === 'latency' || name === 'throughput') return name
  throw new InvalidInputError(`--objective must be latency or throughput, found ${name}`)
}

function mappingOf(text: string): Dimension[] {
  const names = text.split(',')
  const mapping = DIMENSIONS.filter((dimension) => names.includes(dimension))
  if (mapping.length === DIMENSIONS.length && names.length === DIMENSIONS.length) return names as Dimension[]
  throw new InvalidInputError(`--mapping must name ${DIMENSIONS.join(', ')} once each, found ${text}`)
}
