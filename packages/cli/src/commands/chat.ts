import { connect, InvalidInputError } from '@troupe/core'
import { cacheType, cacheTypeOptions } from '../cache-type.js'
import { command } from '../command.js'
import { communication, communicationOption } from '../communication.js'
import { device, deviceOption } from '../device-option.js'
import { loadFormat } from '../load-format.js'
import { MODEL_HELP, modelPath } from '../model.js'
import { degreeOptions, isAutomatic, placeOptions, planOption } from '../plan-option.js'
import { withLoadProgress } from '../progress.js'

/** `troupe chat`: a chat with a model in the terminal. */
export const chat = command({
  name: 'chat',
  argument: 'MODEL',
  summary: 'Chat with a language model in the terminal',
  description:
    `MODEL is ${MODEL_HELP}.\n` +
    '/help lists the commands, Ctrl-C ends an answer, Ctrl-D the chat. Input that is no terminal is a message a line:\n' +
    '`echo Hello | troupe chat MODEL`.',
  options: {
    system: { type: 'string', help: 'the system message' },
    temperature: {
      type: 'number',
      min: 0,
      help: "divides the logits before the draw; 0 takes the likeliest token; the model's own by default",
    },
    'top-k': { type: 'integer', min: 0, help: 'draw from this many likeliest tokens; 0 for all' },
    'top-p': {
      ...{ type: 'number', min: 0, max: 1 },
      help: 'draw from the likeliest tokens that reach this probability together',
    },
    'max-tokens': { type: 'integer', min: 1, help: 'the most tokens of an answer' },
    seed: { type: 'integer', help: 'decides every draw; random by default' },
    weights: {
      type: 'string',
      placeholder: 'FORMAT',
      help: 'quantize weights that are stored as floats when they are loaded: q8_0 or q4_0',
    },
    ...cacheTypeOptions,
    'context-length': { type: 'integer', min: 2, help: "the most tokens of a chat; the model's by default" },
    plan: planOption,
    ...degreeOptions,
    communication: communicationOption,
    device: deviceOption,
    ...placeOptions,
  },
  async run(options, model) {
    if (model === undefined)
      throw new InvalidInputError('expected a model: troupe chat MODEL; see `troupe chat --help`')
    const { pipeline, tensor, sequence, threads, temperature, seed, system } = options
    const plan = isAutomatic(options) ? ('auto' as const) : { pipeline, tensor, sequence }
    const engine = {
      ...{ plan, maxSequences: 1 },
      ...loadFormat(options.weights),
      ...cacheType(options),
      ...communication(options.communication),
      ...device(options.device),
      ...given({ threads, contextLength: options['context-length'] }),
    }
    const params = given({
      ...{ temperature, seed, topK: options['top-k'], topP: options['top-p'], maxTokens: options['max-tokens'] },
    })
    const path = await modelPath(model)
    const { LLM, Tokenizer } = await import('@troupe/llm')
    const templates = (await Tokenizer.open(path))?.chatFiles.templates
    if (templates?.size === 0) {
      throw new InvalidInputError(
        `${model} has no chat template, so it is no model to chat with; continue a text with \`troupe generate\`, or add chat_template.jinja to its folder`,
      )
    }
    const [{ chatLoop }, { Conversation }, { LineHistory }] = await Promise.all([
      import('../chat/chat-loop.js'),
      import('../chat/conversation.js'),
      import('../chat/line-history.js'),
    ])
    const isTerminal = process.stdin.isTTY && process.stdout.isTTY
    if (isTerminal) process.stderr.write(`loading ${model}\n`)
    const cluster = await connect(options.address === undefined ? {} : { address: options.address })
    try {
      await using llm = await withLoadProgress(process.stderr, (progress) =>
        LLM.load(path, { ...engine, ...progress, cluster, name: model }),
      )
      if (isTerminal) process.stderr.write('/help lists commands, Ctrl-D ends\n')
      await chatLoop(
        new Conversation(llm, system, params),
        { input: process.stdin, output: process.stdout, isTerminal },
        process.stderr,
        isTerminal ? new LineHistory() : undefined,
      )
    } finally {
      await cluster.shutdown()
    }
  },
})

/** Without what was left out. */
function given<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never
}
