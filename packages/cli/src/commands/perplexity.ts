import { existsSync, readFileSync } from 'node:fs'
import { connect, InvalidInputError } from '@troupe/core'
import { checkPlan, Engine, perplexity as measure, readConfig, Tokenizer } from '@troupe/llm'
import { cacheType, cacheTypeOptions } from '../cache-type.js'
import { command } from '../command.js'
import { communication, communicationOption } from '../communication.js'
import { device, deviceOption } from '../device-option.js'
import { loadFormat } from '../load-format.js'
import { MODEL_HELP, modelPath } from '../model.js'
import { degreeOptions, isAutomatic, planOption } from '../plan-option.js'
import { withLoadProgress } from '../progress.js'

/** `troupe perplexity`: measures how well a model predicts a text, to compare formats of its weights. */
export const perplexity = command({
  name: 'perplexity',
  summary: 'Measure how well a language model predicts a text',
  description: 'Prints the perplexity: e to the mean negative log-probability of a token. Lower is better.',
  options: {
    model: { type: 'string', placeholder: 'MODEL', help: MODEL_HELP },
    text: { type: 'string', placeholder: 'FILE', help: 'the text to predict' },
    weights: {
      type: 'string',
      placeholder: 'FORMAT',
      help: 'quantize weights that are stored as floats when they are loaded: q8_0 or q4_0',
    },
    ...cacheTypeOptions,
    window: {
      type: 'integer',
      min: 2,
      default: 512,
      help: 'predict from the tokens of the same run of this many; at most the context of the model',
    },
    'max-tokens': { type: 'integer', min: 2, help: 'only the first tokens of the text; all by default' },
    plan: planOption,
    ...degreeOptions,
    communication: communicationOption,
    device: deviceOption,
    json: { type: 'boolean', help: 'print one JSON object: perplexity and how many tokens were predicted' },
  },
  async run({ model: named, text, pipeline, tensor, sequence, ...options }) {
    if (named === undefined || text === undefined) {
      throw new InvalidInputError('expected --model MODEL and --text FILE; see `troupe perplexity --help`')
    }
    const model = await modelPath(named)
    const config = readConfig(model)
    const given = { pipeline, tensor, sequence }
    checkPlan(given, config)
    const plan = isAutomatic({ ...given, plan: options.plan }) ? 'auto' : given
    const sent = { ...communication(options.communication), ...device(options.device) }
    const stored = { ...loadFormat(options.weights), ...cacheType(options) }
    const tokens = (await tokensOf(model, text)).slice(0, options['max-tokens'])
    const window = Math.min(options.window, config.contextLength)

    const cluster = await connect()
    try {
      const asked = { model, plan, contextLength: window, maxSequences: 1, scoring: true, ...stored, ...sent } as const
      const engine = await withLoadProgress(process.stderr, (progress) =>
        Engine.start(cluster, { ...asked, ...progress }),
      )
      const found = await measure(engine, tokens, window)
      await engine.stop()
      const line = `perplexity ${found.perplexity.toFixed(4)} over ${found.tokens} tokens`
      process.stdout.write(`${options.json ? JSON.stringify(found) : line}\n`)
    } finally {
      await cluster.shutdown()
    }
  },
})

async function tokensOf(model: string, path: string): Promise<number[]> {
  const tokenizer = await Tokenizer.open(model)
  if (!tokenizer) throw new InvalidInputError(`${model} has no tokenizer, which --text needs`)
  if (!existsSync(path)) throw new InvalidInputError(`no file at ${path}; expected a text to predict`)
  const tokens = await tokenizer.encode(readFileSync(path, 'utf8'))
  if (tokens.length < 2) throw new InvalidInputError(`${path} has ${tokens.length} tokens; expected at least 2`)
  return tokens
}
