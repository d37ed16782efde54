import { connect, InvalidInputError } from '@troupe/core'
import { cacheType, cacheTypeOptions } from '../cache-type.js'
import { command } from '../command.js'
import { communication, communicationOption } from '../communication.js'
import { device, deviceOption } from '../device-option.js'
import { loadFormat } from '../load-format.js'
import { degreeOptions, isAutomatic, placeOptions, planOption, replicasOption } from '../plan-option.js'
import { untilSignal } from '../signals.js'

/** `troupe serve`: answers clients of OpenAI's and Anthropic's APIs with a model. */
export const serve = command({
  name: 'serve',
  argument: 'MODEL',
  summary: "Serve a language model behind OpenAI's and Anthropic's APIs",
  description:
    'Runs in the foreground until Ctrl-C or SIGTERM, which lets requests that are under way end; a second one ends it at once.\n' +
    'http://HOST:PORT/docs lists the routes.',
  options: {
    host: { type: 'string', default: '127.0.0.1', placeholder: 'HOST', help: 'the address to listen on' },
    port: { type: 'integer', min: 0, max: 65535, default: 8000, help: 'the port to listen on; 0 takes any free one' },
    'api-key': {
      type: 'string',
      placeholder: 'KEY,…',
      help: 'keys, one of which clients have to give; TROUPE_API_KEY by default, and none without it',
    },
    'served-name': {
      type: 'string',
      placeholder: 'NAME,…',
      help: "names that clients may give the model; the last part of the model's path by default",
    },
    'max-queue': {
      type: 'integer',
      min: 1,
      default: 256,
      help: 'the most requests at once, under way and waiting; further ones get status 429',
    },
    'max-body': { type: 'integer', min: 1, default: 16 * 2 ** 20, help: 'the most bytes of a request' },
    'drain-seconds': {
      type: 'number',
      min: 0,
      default: 30,
      help: 'how long requests that are under way may take at the end',
    },
    cors: { type: 'string', placeholder: 'ORIGIN,…', help: 'origins whose pages may call the server; * for all' },
    weights: {
      type: 'string',
      placeholder: 'FORMAT',
      help: 'quantize weights that are stored as floats when they are loaded: q8_0 or q4_0',
    },
    ...cacheTypeOptions,
    'context-length': {
      type: 'integer',
      min: 2,
      help: "the most tokens of a prompt and its answer; the model's by default",
    },
    'max-sequences': { type: 'integer', min: 1, help: 'the most answers that a replica works on at once' },
    plan: planOption,
    ...degreeOptions,
    replicas: replicasOption,
    communication: communicationOption,
    device: deviceOption,
    ...placeOptions,
  },
  async run(options, model) {
    if (model === undefined)
      throw new InvalidInputError('expected a model: troupe serve MODEL; see `troupe serve --help`')
    const { pipeline, tensor, sequence, replicas, threads } = options
    const plan = isAutomatic(options) ? ('auto' as const) : { pipeline, tensor, sequence }
    const [{ serve: listen }, { loadServedModel }] = await Promise.all([
      import('@troupe/serve'),
      import('../served-model.js'),
    ])
    const cluster = await connect(options.address === undefined ? {} : { address: options.address })
    try {
      const loaded = await loadServedModel(cluster, {
        ...{ model, plan, replicas },
        ...loadFormat(options.weights),
        ...cacheType(options),
        ...communication(options.communication),
        ...device(options.device),
        ...(options['context-length'] === undefined ? {} : { contextLength: options['context-length'] }),
        ...(options['max-sequences'] === undefined ? {} : { maxSequences: options['max-sequences'] }),
        ...(threads === undefined ? {} : { threads }),
      })
      const origins = options.cors === '*' ? ('*' as const) : listOf(options.cors)
      const server = await listen(loaded, {
        ...{ host: options.host, port: options.port, maxQueue: options['max-queue'] },
        ...{ maxBodyBytes: options['max-body'], drainSeconds: options['drain-seconds'] },
        apiKeys: listOf(options['api-key'] ?? process.env.TROUPE_API_KEY) ?? [],
        ...(options['served-name'] === undefined ? {} : { names: listOf(options['served-name'])! }),
        ...(origins === undefined ? {} : { corsOrigins: origins }),
      })
      process.stdout.write(`troupe serves ${loaded.name} on ${server.url}\n`)
      await untilSignal()
      await server.close()
      await loaded.stop()
    } finally {
      await cluster.shutdown()
    }
  },
})

/** Parts that are joined by commas; nothing of an empty text. */
function listOf(text: string | undefined): string[] | undefined {
  const parts = text
    ?.split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
  return parts && parts.length > 0 ? parts : undefined
}
