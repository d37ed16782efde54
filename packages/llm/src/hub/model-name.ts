import { InvalidInputError } from '@troupe/core'

/** A model on the hub, as its name says: `ORG/NAME[/FILE.gguf][@REVISION][:QUANTIZATION]`. */
export interface ModelName {
  /** `ORG/NAME`. */
  repository: string
  /** A branch, a tag or a commit. */
  revision: string
  /** What one of the repository's GGUF files is quantized to, such as `Q8_0`. */
  quantization?: string
  /** The path of a GGUF file in the repository. */
  file?: string
}

const PART = '[A-Za-z0-9](?:[\\w.-]{0,94}[A-Za-z0-9_])?'
const NAME = new RegExp(`^(${PART}/${PART})((?:/[^/@:\\s]+)+\\.gguf)?(?:@([^:\\s]+?))?(?::([\\w.-]{1,40}))?$`)

/**
 * Reads a model's name.
 * @throws InvalidInputError if it is none, saying how a model is given.
 */
export function parseModelName(text: string): ModelName {
  const found = NAME.exec(text)
  const [, repository, file, revision = 'main', quantization] = found ?? []
  const isSafe = !text.includes('..') && !text.includes('--') && !text.includes('\\') && !revision.startsWith('/')
  if (!repository || !isSafe || (file !== undefined && quantization !== undefined)) {
    throw new InvalidInputError(
      `no model at ${JSON.stringify(text.slice(0, 200))}; expected the path of a Hugging Face model directory or of a GGUF file, or a name on the Hugging Face hub: ORG/NAME[@REVISION], ORG/NAME:Q8_0 or ORG/NAME/FILE.gguf of GGUF files`,
    )
  }
  return {
    repository,
    revision,
    ...(quantization === undefined ? {} : { quantization }),
    ...(file === undefined ? {} : { file: file.slice(1) }),
  }
}
