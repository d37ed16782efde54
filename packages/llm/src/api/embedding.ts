import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import { POOLINGS, type Pooling } from '../engine/pooling.js'
import { isGguf } from '../weights/checkpoint.js'
import { GgufModel } from '../weights/gguf-model.js'
import { parseJson, readJson } from '../weights/json.js'

/** How texts become vectors; what is left out is as the model's files say. */
export interface EmbeddingParams {
  /** How the hidden states of a text's tokens become one vector. That of the last by default. */
  pooling?: Pooling
  /** Whether vectors are brought to length 1. Default true. */
  normalize?: boolean
}

/** A vector for each text, and what they cost. */
export interface EmbeddingResult {
  /** [hidden] each, in the order of the texts. */
  embeddings: Float32Array[]
  usage: { promptTokens: number }
}

const MODULES = 'modules.json'
const PARAMS: Record<keyof EmbeddingParams, true> = { pooling: true, normalize: true }
/** The modes in the pooling modules of sentence-transformers, and in GGUF files, that are computed here. */
const NAMED_MODES: Record<string, Pooling> = { cls: 'first', mean: 'mean', lasttoken: 'last' }
const GGUF_MODES = ['none', 'mean', 'cls', 'lasttoken', 'rank']

/**
 * How a model's texts become vectors: as asked for, else as its files for sentence-transformers or its GGUF metadata say.
 * @throws InvalidInputError if a parameter is not one or cannot be; if it is the files' to say, and they ask for what is not
 * computed here.
 */
export function embeddingParamsOf(model: string, params: EmbeddingParams): Required<EmbeddingParams> {
  const stranger = Object.keys(params).find((name) => !Object.hasOwn(PARAMS, name))
  if (stranger !== undefined) {
    throw new InvalidInputError(`${stranger} is no parameter; expected ${Object.keys(PARAMS).join(', ')}`)
  }
  const { pooling, normalize } = params
  if (pooling !== undefined && !POOLINGS.includes(pooling)) {
    throw new InvalidInputError(`pooling must be one of ${POOLINGS.join(', ')}; found ${String(pooling)}`)
  }
  if (normalize !== undefined && typeof normalize !== 'boolean') {
    throw new InvalidInputError(`normalize must be true or false; found ${String(normalize)}`)
  }
  if (pooling !== undefined && normalize !== undefined) return { pooling, normalize }
  const own = isGguf(model) ? ggufParams(model) : existsSync(join(model, MODULES)) ? directoryParams(model) : {}
  return { pooling: pooling ?? own.pooling?.() ?? 'last', normalize: normalize ?? own.normalize ?? true }
}

/** What files say; of a pooling that is not computed here only if it is asked for. */
interface FileParams {
  pooling?: () => Pooling
  normalize?: boolean
}

function ggufParams(path: string): FileParams {
  const gguf = new GgufModel(path)
  const { metadata } = gguf
  gguf.close()
  const type = metadata.get(`${String(metadata.get('general.architecture'))}.pooling_type`)
  if (type === undefined || type === 0) return {}
  return { pooling: () => poolingNamed(GGUF_MODES[Number(type)] ?? String(type), path) }
}

/** A model of sentence-transformers is a list of modules. */
function directoryParams(folder: string): FileParams {
  const path = join(folder, MODULES)
  const list = parseJson(path)
  if (!Array.isArray(list)) throw new InvalidInputError(`${path} does not hold a list; correct the file`)
  const modules = list.map((one) => {
    const { type, path: place } = (one ?? {}) as { type?: unknown; path?: unknown }
    return { kind: String(type).split('.').at(-1)!, folder: join(folder, typeof place === 'string' ? place : '') }
  })
  const stranger = modules.find(({ kind }) => !['Transformer', 'Pooling', 'Normalize'].includes(kind))
  if (stranger) {
    throw new InvalidInputError(
      `${path} has a module ${stranger.kind}, which is not computed here; give pooling and normalize to get the vectors without it`,
    )
  }
  const pooling = modules.find(({ kind }) => kind === 'Pooling')
  return {
    ...(pooling ? { pooling: () => poolingIn(join(pooling.folder, 'config.json')) } : {}),
    normalize: modules.some(({ kind }) => kind === 'Normalize'),
  }
}

function poolingIn(path: string): Pooling {
  const config = readJson(path)
  const named = config.pooling_mode
  const modes =
    typeof named === 'string'
      ? [named]
      : Object.keys(config)
          .filter((key) => key.startsWith('pooling_mode_') && config[key] === true)
          .map((key) => key.slice('pooling_mode_'.length).replace(/_tokens?$/, ''))
  return poolingNamed(modes.join(' and '), path)
}

function poolingNamed(mode: string, path: string): Pooling {
  if (Object.hasOwn(NAMED_MODES, mode)) return NAMED_MODES[mode]!
  throw new InvalidInputError(
    `${path} asks for the pooling ${mode || 'of nothing'}; computed here are ${Object.keys(NAMED_MODES).join(', ')}, so give pooling as ${POOLINGS.join(', ')}`,
  )
}

/** A vector of length 1 in the same direction; zeros stay as they are. */
export function normalized(vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
  return length === 0 ? vector : vector.map((value) => value / length)
}
