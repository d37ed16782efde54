// npm start: sets up what is missing, then has the model that ships with this repository tell a story on a cluster of
// actor processes. Takes the flags of `troupe generate`.
import { join } from 'node:path'
import { root, setup } from './setup.mjs'

setup()
const { main } = await import('@troupe/cli')
const given = process.argv.slice(2)
const defaults = [
  ['--model', join(root, 'models', 'tales')],
  ['--prompt', 'Once upon a time'],
  ['--pipeline', '2'],
  ['--tensor', '2'],
]
const missing = defaults.filter(([flag]) => !given.some((word) => word === flag || word.startsWith(`${flag}=`)))
await main(['generate', ...missing.flat(), ...given])
