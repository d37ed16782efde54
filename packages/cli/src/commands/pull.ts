import { InvalidInputError } from '@troupe/core'
import { command } from '../command.js'
import { modelPath } from '../model.js'

/** `troupe pull`: fetches a model from the Hugging Face hub. */
export const pull = command({
  name: 'pull',
  argument: 'MODEL',
  summary: 'Fetch a model from the Hugging Face hub, or its newest version, and print its path',
  description:
    'MODEL is ORG/NAME[@REVISION], of a repository of GGUF files ORG/NAME:Q8_0 or ORG/NAME/FILE.gguf. It goes into the cache that all\n' +
    'Hugging Face libraries share (HF_HOME); a download that was interrupted goes on where it was. HF_TOKEN opens private and gated\n' +
    'models, HF_ENDPOINT names a mirror, HTTPS_PROXY a proxy.',
  options: {},
  async run(_, model) {
    if (model === undefined) throw new InvalidInputError('expected a model, as ORG/NAME; see `troupe pull --help`')
    process.stdout.write(`${await modelPath(model, { update: true })}\n`)
  },
})
