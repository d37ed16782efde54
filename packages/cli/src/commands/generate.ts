import { text } from 'node:stream/consumers'
import { connect, InvalidInputError } from '@troupe/core'
import {
  checkPlan,
  checkPrompt,
  choosePlan,
  Engine,
  type EngineWorker,
  type GeneratedToken,
  type GenerateOptions,
  type ModelConfig,
  readConfig,
  stageLayers,
  Tokenizer,
} from '@troupe/llm'
import { cacheType, cacheTypeOptions } from '../cache-type.js'
import { command } from '../command.js'
import { communication, communicationOption } from '../communication.js'
import { device, deviceOption } from '../device-option.js'
import { loadFormat } from '../load-format.js'
import { MODEL_HELP, modelPath } from '../model.js'
import { degreeOptions, isAutomatic, placeOptions, planOption } from '../plan-option.js'
import { withLoadProgress } from '../progress.js'
import { workerTable } from '../worker-table.js'

/** `troupe generate`: has a model continue a prompt on a mesh of worker processes. */
export const generate = command({
  name: 'generate',
  summary: 'Continue a prompt with a language model that is split over worker processes',
  description:
    'The workers are --pipeline × --tensor × --sequence processes. Prints the text as it comes, and on standard error a table of them.',
  options: {
    model: {
      type: 'string',
      placeholder: 'MODEL',
      help: MODEL_HELP,
    },
    weights: {
      type: 'string',
      placeholder: 'FORMAT',
      help: 'quantize weights that are stored as floats when they are loaded: q8_0 or q4_0',
    },
    ...cacheTypeOptions,
    prompt: { type: 'string', help: 'the text to continue; - reads it from standard input' },
    tokens: {
      type: 'string',
      placeholder: 'N,N,…',
      help: 'the prompt as token ids, in place of --prompt; then end-of-text tokens do not stop it',
    },
    'max-tokens': { type: 'integer', min: 1, default: 200, help: 'the most tokens to generate' },
    temperature: {
      type: 'number',
      min: 0,
      default: 0.6,
      help: 'divides the logits before the draw; 0 takes the likeliest token',
    },
    'top-k': { type: 'integer', min: 0, default: 0, help: 'draw from this many likeliest tokens; 0 for all' },
    'top-p': {
      type: 'number',
      min: 0,
      max: 1,
      default: 1,
      help: 'draw from the likeliest tokens that reach this probability together',
    },
    seed: {
      type: 'integer',
      help: 'decides every draw: the same seed gives the same text under every plan; random by default',
    },
    plan: planOption,
    ...degreeOptions,
    layers: {
      type: 'string',
      placeholder: 'N,N,…',
      help: 'how many layers each stage has; by default such that the stages take equally long',
    },
    communication: communicationOption,
    device: deviceOption,
    ...placeOptions,
    json: { type: 'boolean', help: 'print one JSON object: tokens, text, speeds and workers' },
    logits: { type: 'boolean', help: 'with --json: add the logits after the last prompt token' },
  },
  async run(options) {
    if (options.model === undefined) throw new InvalidInputError('expected --model MODEL; see `troupe generate --help`')
    const model = await modelPath(options.model)
    const config = readConfig(model)
    const isAuto = isAutomatic(options)
    const given = { pipeline: options.pipeline, tensor: options.tensor, sequence: options.sequence }
    checkPlan(given, config)
    const layers = options.layers === undefined ? undefined : countsOf('--layers', options.layers)
    if (!isAuto) stageLayers(config, given.pipeline, layers)
    else if (layers) throw new InvalidInputError('--plan auto chooses the stages; leave --layers out')
    const tokenizer = await tokenizerOf(model, options.tokens !== undefined)
    const sent = { ...communication(options.communication), ...device(options.device) }
    const stored = loadFormat(options.weights)
    const prompt = await promptOf(options, tokenizer)
    checkPrompt(prompt, config.contextLength, config.vocabularySize)
    const contextLength = Math.min(config.contextLength, prompt.length + options['max-tokens'])

    const cluster = await connect(options.address === undefined ? {} : { address: options.address })
    try {
      const sizes = {
        ...{ contextLength, maxSequences: 1, ...cacheType(options) },
        ...(options.threads === undefined ? {} : { threads: options.threads }),
      }
      const expected = { promptTokens: prompt.length, outputTokens: options['max-tokens'] }
      const split = isAuto
        ? { deployment: (await choosePlan(cluster, { model, ...stored, ...sizes, ...expected })).deployment }
        : { plan: given, ...(layers ? { layers } : {}), ...sizes }
      const engine = await withLoadProgress(process.stderr, (progress) =>
        Engine.start(cluster, { model, ...split, ...sent, ...stored, ...progress }),
      )
      const asked: GenerateOptions = {
        maxTokens: options['max-tokens'],
        temperature: options.temperature,
        topK: options['top-k'],
        topP: options['top-p'],
        stopAtEnd: options.tokens === undefined,
        wantLogits: options.logits,
        ...(options.seed === undefined ? {} : { seed: options.seed }),
      }
      if (options.json) await printJson(engine, prompt, asked, tokenizer)
      else await printText(engine, prompt, asked, tokenizer, config)
      await engine.stop()
    } finally {
      await cluster.shutdown()
    }
  },
})

/** The model's tokenizer; where the prompt is tokens, one that cannot be used costs no more than the text. */
async function tokenizerOf(model: string, isPromptTokens: boolean): Promise<Tokenizer | undefined> {
  try {
    return await Tokenizer.open(model)
  } catch (error) {
    if (!isPromptTokens || !(error instanceof InvalidInputError)) throw error
    process.stderr.write(`warning: tokens are shown as numbers: ${error.message}\n`)
    return undefined
  }
}

async function promptOf(
  options: { prompt: string | undefined; tokens: string | undefined },
  tokenizer: Tokenizer | undefined,
): Promise<number[]> {
  const { prompt, tokens } = options
  if ((prompt === undefined) === (tokens === undefined)) {
    throw new InvalidInputError('expected either --prompt TEXT or --tokens N,N,…; see `troupe generate --help`')
  }
  if (tokens !== undefined) {
    return countsOf('--tokens', tokens)
  }
  if (!tokenizer) throw new InvalidInputError('the model has no tokenizer; give the prompt as --tokens N,N,…')
  return tokenizer.encode(prompt === '-' ? await text(process.stdin) : prompt!)
}

function countsOf(option: string, text: string): number[] {
  if (/^\d+(,\d+)*$/.test(text)) return text.split(',').map(Number)
  throw new InvalidInputError(`${option} must be whole numbers joined by commas, found ${JSON.stringify(text)}`)
}

/** Tokens per second before and after the first token. */
class Stopwatch {
  readonly #began = performance.now()
  #first = 0
  #count = 0

  constructor(private readonly promptTokens: number) {}

  token(): void {
    if (this.#count++ === 0) this.#first = performance.now()
  }

  read() {
    const decodeSeconds = (performance.now() - this.#first) / 1000
    return {
      prefillTokensPerSecond: (this.promptTokens * 1000) / (this.#first - this.#began),
      decodeTokensPerSecond: this.#count > 1 ? (this.#count - 1) / decodeSeconds : 0,
    }
  }
}

async function printJson(
  engine: Engine,
  prompt: number[],
  asked: GenerateOptions,
  tokenizer: Tokenizer | undefined,
): Promise<void> {
  const watch = new Stopwatch(prompt.length)
  const generated: GeneratedToken[] = []
  for await (const token of engine.generate(prompt, asked)) {
    watch.token()
    generated.push(token)
  }
  const tokens = generated.map(({ token }) => token)
  const logits = generated[0]?.logits
  const result = {
    tokens,
    text: tokenizer ? textBehind(tokenizer, prompt, tokens) : '',
    ...(logits ? { logits: [...logits] } : {}),
    ...watch.read(),
    workers: engine.workers.map(jsonWorker),
  }
  process.stdout.write(`${JSON.stringify(result)}\n`)
}

/** The text that tokens add to that of a prompt. */
function textBehind(tokenizer: Tokenizer, prompt: readonly number[], tokens: readonly number[]): string {
  const stream = tokenizer.stream(prompt)
  return tokens.map((token) => stream.push(token)).join('') + stream.end()
}

function jsonWorker({ coordinates, name, pid, layers, heads, weightBytes, kvBytes }: EngineWorker) {
  return { coordinates, name, pid, layers, heads, weightBytes, kvBytes }
}

async function printText(
  engine: Engine,
  prompt: number[],
  asked: GenerateOptions,
  tokenizer: Tokenizer | undefined,
  config: ModelConfig,
): Promise<void> {
  const stream = tokenizer?.stream([])
  const show = (token: number) => stream?.push(token) ?? ` ${token}`
  process.stdout.write(stream ? prompt.map(show).join('') : prompt.join(' '))
  const watch = new Stopwatch(prompt.length)
  try {
    for await (const { token } of engine.generate(prompt, asked)) {
      watch.token()
      process.stdout.write(show(token))
    }
  } finally {
    // Also what is said of an error begins on a line of its own.
    process.stdout.write(`${stream?.end() ?? ''}\n`)
  }
  const { prefillTokensPerSecond: prefill, decodeTokensPerSecond: decode } = watch.read()
  process.stderr.write(`\n${workerTable(engine.workers, config)}\n\n`)
  process.stderr.write(`prefill ${prefill.toFixed(0)} tokens/s, decode ${decode.toFixed(0)} tokens/s\n`)
}
