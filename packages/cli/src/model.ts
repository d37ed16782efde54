import type { DownloadProgress, ResolveModelOptions } from '@troupe/llm'
import { resolveModel } from '@troupe/llm'
import { withDownloadProgress } from './progress.js'

/** How `--help` explains an option or argument that is a model. */
export const MODEL_HELP =
  'a Hugging Face model directory (config.json, safetensors, tokenizer.json), a GGUF file, or a name on the Hugging Face hub, from which it is fetched: ORG/NAME[@REVISION], ORG/NAME:Q8_0 or ORG/NAME/FILE.gguf of GGUF files'

/**
 * The path of a model that is given by path or by name; a download shows how far it is on standard error.
 * @throws InvalidInputError if there is no such model, or it cannot be fetched.
 */
export function modelPath(model: string, options: Pick<ResolveModelOptions, 'update'> = {}): Promise<string> {
  return withDownloadProgress(process.stderr, (onProgress: (progress: DownloadProgress) => void) =>
    resolveModel(model, {
      ...options,
      onProgress,
      onWait: () => process.stderr.write(`another process fetches ${model}; waiting for it\n`),
    }),
  )
}
