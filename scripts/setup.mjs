// Brings a checkout to where it can run: dependencies, the native addon, the TypeScript build, the bundles of it. Each step is
// left out when what it depends on has not changed since it last succeeded.
//
//   node scripts/setup.mjs
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

const PNPM = '12.21.0'
const OLDEST_NODE = [20, 19]
const stampFile = join(root, 'node_modules', '.troupe-setup.json')
const generated = new Set(['node_modules', 'dist', 'build', '.git'])

const steps = [
  {
    name: 'dependencies',
    says: `installing dependencies with pnpm ${PNPM}`,
    inputs: () => filesUnder(root, (path) => /(^|\/)(package\.json|pnpm-lock\.yaml|pnpm-workspace\.yaml)$/.test(path)),
    result: 'node_modules/.bin',
    command: ['npx', '--yes', `pnpm@${PNPM}`, 'install', '--frozen-lockfile'],
  },
  {
    name: 'native',
    says: 'compiling the native addon',
    inputs: () => [...filesUnder(join(root, 'native', 'src')), join(root, 'native', 'CMakeLists.txt')],
    result: 'native/build/Release/troupe.node',
    command: [
      join(root, 'native', 'node_modules', '.bin', 'cmake-js'),
      'compile',
      ...['--directory', join(root, 'native')],
      ...['--target', 'troupe'],
      ...['--parallel', String(availableParallelism())],
    ],
    needs: ['cmake', 'c++'],
  },
  {
    name: 'typescript',
    says: 'compiling TypeScript',
    inputs: () =>
      filesUnder(
        root,
        (path) => (path.endsWith('.ts') || /(^|\/)tsconfig[^/]*\.json$/.test(path)) && !path.startsWith('native/src'),
      ),
    result: 'packages/cli/dist/main.js',
    command: [join(root, 'node_modules', '.bin', 'tsc'), '-b'],
    after: removeOrphans,
  },
  {
    name: 'bundle',
    says: 'bundling what processes of a cluster start from',
    inputs: () => [
      join(root, 'scripts', 'bundle.mjs'),
      ...['core', 'tensor'].flatMap((name) => [
        join(root, 'packages', name, 'package.json'),
        ...filesUnder(join(root, 'packages', name, 'dist'), (path) => /(?<!\.test)\.js$/.test(path)),
      ]),
    ],
    result: 'packages/core/bundle/stamp.json',
    command: [process.execPath, join(root, 'scripts', 'bundle.mjs')],
  },
]

/** Runs the steps that are due, saying which. Ends the process with status 1 if one fails. */
export function setup() {
  checkNode()
  const stamps = readStamps()
  for (const step of steps) {
    const stamp = stampOf(step.inputs())
    if (stamps[step.name] === stamp && existsSync(join(root, step.result))) continue
    run(step)
    step.after?.()
    stamps[step.name] = stampOf(step.inputs())
    mkdirSync(dirname(stampFile), { recursive: true })
    writeFileSync(stampFile, JSON.stringify(stamps))
  }
}

/** What was compiled from a source that is gone: tsc leaves it, and a test among it would still run. */
function removeOrphans() {
  for (const name of readdirSync(join(root, 'packages'))) {
    const source = join(root, 'packages', name, 'src')
    const compiled = join(root, 'packages', name, 'dist')
    if (!existsSync(source) || !existsSync(compiled)) continue
    for (const file of filesUnder(compiled)) {
      const stem = join(source, relative(compiled, file)).replace(/(\.js|\.d\.ts)(\.map)?$/, '')
      if (!existsSync(`${stem}.ts`)) rmSync(file)
    }
  }
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return
  fail(`expected Node.js ${OLDEST_NODE.join('.')} or later, found ${process.versions.node}; install a newer one`)
}

function run(step) {
  for (const tool of step.needs ?? []) {
    if (spawnSync(tool, ['--version'], { stdio: 'ignore' }).error) {
      fail(`${step.says} needs ${tool}, which is not on the PATH; on Debian: apt-get install cmake g++`)
    }
  }
  process.stderr.write(`troupe: ${step.says} … `)
  const began = Date.now()
  const [command, ...args] = step.command
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 1 << 28,
  })
  if (result.status !== 0) {
    process.stderr.write(`failed\n${result.stdout ?? ''}${result.stderr ?? ''}`)
    fail(`${step.says} failed${result.error ? `: ${result.error.message}` : ''}; the output above says why`)
  }
  process.stderr.write(`${((Date.now() - began) / 1000).toFixed(1)} s\n`)
}

function fail(message) {
  process.stderr.write(`error: ${message}\n`)
  process.exit(1)
}

function readStamps() {
  try {
    return JSON.parse(readFileSync(stampFile, 'utf8'))
  } catch {
    return {}
  }
}

function stampOf(files) {
  const hash = createHash('sha256')
  for (const file of files.sort()) hash.update(`${relative(root, file)}\0`).update(readFileSync(file))
  return hash.digest('hex')
}

function filesUnder(folder, wanted = () => true) {
  return readdirSync(folder).flatMap((name) => {
    if (generated.has(name)) return []
    const path = join(folder, name)
    if (statSync(path).isDirectory()) return filesUnder(path, wanted)
    return wanted(relative(root, path)) ? [path] : []
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setup()
