import { resolveModel } from '../hub/resolve-model.js'

/** Fetches the model that its argument names; writes how many bytes are there, and the path. */
const path = await resolveModel(process.argv[2]!, {
  onProgress: ({ bytes }) => process.stdout.write(`${bytes}\n`),
  onWait: () => process.stdout.write('waits\n'),
})
process.stdout.write(`${path}\n`)
