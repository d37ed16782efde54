// Makes the bundles that processes of a cluster start from: the modules of a package in a few files, since Node.js takes about a
// millisecond for each that it loads. See "Bundles" in docs/architecture.md.
//
//   node scripts/bundle.mjs [FOLDER …]     of the packages in these folders; without any, of this repository's
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { rollup } from 'rollup'
import { hashOf } from '../packages/core/dist/node/bundle.js'
import { BUNDLE_CONDITION } from '../packages/core/dist/protocol/loader-flags.js'

/** The packages with a bundle, and the entries of their processes beside what they export. */
const processes = {
  '@troupe/core': {
    /** Runs users' modules, and so shares each module of the package with them. */
    worker: 'worker/main',
    besides: ['typescript/hooks-thread'],
    /** Run none, and so have all they need in one file. */
    alone: ['head/head-main', 'worker/threads-main'],
  },
  '@troupe/tensor': { worker: 'index', besides: [], alone: [] },
}

/** Has the source maps of the bundle name the sources of what was compiled. */
const sourceMaps = {
  name: 'source-maps',
  load: (id) => ({ code: readFileSync(id, 'utf8'), map: readFileSync(`${id}.map`, 'utf8') }),
}

/** @param folder that of a package, compiled */
async function bundle(folder) {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const { worker, besides, alone } = processes[manifest.name]
  const exported = Object.values({ ...manifest.exports, ...manifest.imports })
    .map((target) => target[BUNDLE_CONDITION])
    .map((file) => file.replace(/^\.\/bundle\/(.*)\.js$/, '$1'))
  const stamp = join(folder, 'bundle', 'stamp.json')
  rmSync(stamp, { force: true })
  const outputs = [await write(folder, [...new Set([worker, ...exported, ...besides])], worker)]
  for (const entry of alone) outputs.push(await write(folder, [entry]))
  const chunks = outputs.flat()
  const made = new Set(chunks.map(({ fileName }) => fileName))
  for (const file of filesUnder(join(folder, 'bundle'))) {
    if (!made.has(relative(join(folder, 'bundle'), file))) rmSync(file)
  }
  const inputs = new Set(chunks.flatMap(({ moduleIds = [] }) => moduleIds))
  const files = [...inputs].map((file) => relative(folder, file).split(sep).join('/')).sort()
  writeFileSync(stamp, JSON.stringify({ files, hash: hashOf(pathToFileURL(`${folder}/`), files) }))
}

/**
 * Writes the modules that some entries import.
 *
 * @param worker the one of them whose imports come in one file
 */
async function write(folder, entries, worker) {
  const compiled = (entry) => join(folder, 'dist', `${entry}.js`)
  const made = await rollup({
    input: Object.fromEntries(entries.map((entry) => [entry, compiled(entry)])),
    external: (name) => !name.startsWith('.') && !isAbsolute(name),
    treeshake: worker === undefined,
    plugins: [sourceMaps],
    onwarn: ({ message }) => fail(message),
  })
  const shared = new Set()
  const manualChunks = (id, { getModuleInfo }) => {
    if (shared.size === 0) addImports(compiled(worker), getModuleInfo, shared)
    return shared.has(id) && id !== compiled(worker) ? 'shared' : undefined
  }
  const { output } = await made.write({
    dir: join(folder, 'bundle'),
    format: 'es',
    // Two folders deep, as the modules are: some name others by where they are.
    chunkFileNames: 'chunks/[name]-[hash].js',
    hoistTransitiveImports: false,
    minifyInternalExports: false,
    sourcemap: true,
    sourcemapExcludeSources: true,
    ...(entries.length > 1 ? { manualChunks } : { inlineDynamicImports: true }),
  })
  await made.close()
  return output
}

function addImports(id, getModuleInfo, found) {
  if (found.has(id)) return
  found.add(id)
  for (const imported of getModuleInfo(id).importedIds) {
    if (!getModuleInfo(imported)?.isExternal) addImports(imported, getModuleInfo, found)
  }
}

function filesUnder(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

function fail(message) {
  process.stderr.write(`error: ${message}\n`)
  process.exit(1)
}

const packages = join(dirname(dirname(fileURLToPath(import.meta.url))), 'packages')
const folders = process.argv.slice(2)
for (const folder of folders.length > 0 ? folders : [join(packages, 'tensor'), join(packages, 'core')]) {
  await bundle(resolve(folder))
}
