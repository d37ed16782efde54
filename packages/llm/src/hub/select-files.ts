import { basename } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import type { ModelName } from './model-name.js'

/** Files beside the weights that say what a model computes, and how its text is cut. */
const DESCRIPTIONS = new Set([
  ...['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'tokenizer.model'],
  ...['added_tokens.json', 'special_tokens_map.json', 'vocab.json', 'merges.txt'],
  ...['chat_template.jinja', 'chat_template.json', 'modules.json'],
])
/** The folders of sentence-transformers' modules, such as 1_Pooling. */
const MODULE_CONFIG = /^\d+_[A-Za-z]+\/config\.json$/
export const WEIGHTS = 'model.safetensors'
export const INDEX = 'model.safetensors.index.json'
const SUFFIX = /-(\d{5})-of-(\d{5})\.gguf$/i
const SHOWN = 30

/** The files of a repository that a model needs. */
export interface Selection {
  files: string[]
  /** The GGUF file that is the model, its first part if it has several; else it is the directory. */
  gguf?: string
}

/**
 * Chooses, of a repository's files, those that a model needs. The files that an index of weights names are those of `indexed()`.
 * @throws InvalidInputError if they are not there, or if it is not said which of several models is meant.
 */
export async function selectFiles(
  name: ModelName,
  paths: readonly string[],
  indexed: () => Promise<string[]>,
): Promise<Selection> {
  const isGguf = name.file !== undefined || name.quantization !== undefined
  if (!isGguf && paths.includes(WEIGHTS)) return directory(name, paths, [WEIGHTS])
  if (!isGguf && paths.includes(INDEX)) return directory(name, paths, [INDEX, ...(await indexed())])
  return ggufFiles(name, paths)
}

function directory(name: ModelName, paths: readonly string[], weights: string[]): Selection {
  const files = [...paths.filter((path) => DESCRIPTIONS.has(path) || MODULE_CONFIG.test(path)), ...weights]
  const missing = ['config.json', ...weights].find((path) => !paths.includes(path))
  if (missing)
    throw new InvalidInputError(
      `${name.repository} has no ${missing}; expected a model with its config.json and all files of its weights`,
    )
  return { files: [...new Set(files)] }
}

function ggufFiles(name: ModelName, paths: readonly string[]): Selection {
  const { repository, file, quantization } = name
  const models = paths.filter(
    (path) => /\.gguf$/i.test(path) && !/^(mmproj|imatrix)/i.test(basename(path)) && isFirst(path),
  )
  if (models.length === 0) {
    throw new InvalidInputError(
      `${repository} has neither ${WEIGHTS} nor ${INDEX}${file || quantization ? ', nor GGUF files' : ' nor a GGUF file'}; weights in other formats cannot be read, so choose a repository with one of these`,
    )
  }
  const fitting =
    file !== undefined
      ? models.filter((path) => path === firstPart(file))
      : models.filter((path) => quantization === undefined || isQuantizedAs(path, quantization))
  if (fitting.length === 1) {
    const parts = partsOf(fitting[0]!)
    const missing = parts.find((part) => !paths.includes(part))
    if (missing)
      throw new InvalidInputError(`${repository} has no ${missing}, a part of ${fitting[0]}; choose another file`)
    return { files: parts, gguf: parts[0]! }
  }
  const choices = (fitting.length > 0 ? fitting : models).toSorted()
  const shown =
    choices.slice(0, SHOWN).join(', ') + (choices.length > SHOWN ? `, and ${choices.length - SHOWN} more` : '')
  const wanted = file ?? (quantization === undefined ? undefined : `GGUF file that is called ${quantization}`)
  const problem =
    fitting.length > 0
      ? `has ${fitting.length} GGUF models${quantization ? ` called ${quantization}` : ''}`
      : `has no ${wanted}`
  throw new InvalidInputError(
    `${repository} ${problem}; name one as ${repository}/FILE or ${repository}:QUANTIZATION, of ${shown}`,
  )
}

function isFirst(path: string): boolean {
  const part = SUFFIX.exec(path)
  return part === null || Number(part[1]) === 1
}

function firstPart(path: string): string {
  return path.replace(SUFFIX, (_, __, count) => `-00001-of-${count}.gguf`)
}

function partsOf(first: string): string[] {
  const part = SUFFIX.exec(first)
  if (part === null) return [first]
  const stem = first.slice(0, part.index)
  return Array.from(
    { length: Number(part[2]) },
    (_, index) => `${stem}-${String(index + 1).padStart(5, '0')}-of-${part[2]}.gguf`,
  )
}

/** Files are called NAME-Q8_0.gguf or NAME.Q8_0.gguf. */
function isQuantizedAs(path: string, quantization: string): boolean {
  const stem = basename(path)
    .replace(SUFFIX, '')
    .replace(/\.gguf$/i, '')
    .toLowerCase()
  const wanted = quantization.toLowerCase()
  return stem === wanted || stem.endsWith(`-${wanted}`) || stem.endsWith(`.${wanted}`) || stem.endsWith(`_${wanted}`)
}
