// Runs a command on another version of Node.js, which comes from npm's packages of its binaries.
//
//   node scripts/with-node.mjs VERSION COMMAND …     e.g. 26 npm test
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { root } from './setup.mjs'

const [version, command, ...args] = process.argv.slice(2)
if (!version || !command) fail('usage: node scripts/with-node.mjs VERSION COMMAND …')

const name = `node-${process.platform}-${process.arch}`
const folder = join(root, 'node_modules', '.cache', `node-${version}`)
const bin = join(folder, 'node_modules', name, 'bin')
if (!existsSync(join(bin, 'node'))) {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
  const install = ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error', `${name}@${version}`]
  const { status } = spawnSync('npm', install, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
  if (status !== 0) fail(`Node.js ${version} is not to be had as ${name}@${version}; npm's message above says why`)
}
const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` }
const { status, signal, error } = spawnSync(command, args, { env, stdio: 'inherit' })
if (error) fail(`${command} cannot be run: ${error.message}`)
process.exit(status ?? (signal ? 1 : 0))

function fail(message) {
  process.stderr.write(`error: ${message}\n`)
  process.exit(1)
}
