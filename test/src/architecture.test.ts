import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { faultsOf } from './support/native-rooms.js'
import { root } from './support/processes.js'

const page = readFileSync(join(root, 'docs', 'architecture.md'), 'utf8')

/** The sources of a package, or of the native code, as `PACKAGE/ROOM/FILE`. */
function sourcesOf(folder: string, name: string): string[] {
  return readdirSync(join(root, folder, 'src'), { recursive: true, encoding: 'utf8' }).map((path) => `${name}/${path}`)
}

const sources = [
  ...['core', 'tensor', 'llm', 'serve'].flatMap((name) => sourcesOf(`packages/${name}`, name)),
  ...sourcesOf('native', 'native'),
]

test('every file that the page on architecture names exists', (t) => {
  const files = new Set(page.match(/[\w/-][\w./-]*\.(?:ts|cc)\b/g))
  t.true(files.size > 40)
  for (const file of files) {
    if (file.endsWith('.test.ts')) continue
    const isThere = sources.some((path) => path === file || path.endsWith(`/${file}`))
    t.true(isThere || file === 'index.ts', file)
  }
})

/** The rooms in a section's table, in its order. */
function rowsOf(section: string): string[] {
  const [text] = page.slice(page.indexOf(section)).split(/\n##+ /)
  return [...text!.matchAll(/^\| `([\w-]+)` \|/gm)].map(([, room]) => room!)
}

test('every room has its row on the page', (t) => {
  for (const [folder, section] of [
    ['packages/core', '### core'],
    ['packages/llm', '### llm'],
    ['packages/serve', '### serve'],
    ['native', '### native'],
  ] as const) {
    const rows = rowsOf(section)
    const rooms = readdirSync(join(root, folder, 'src'), { withFileTypes: true })
    const named = rooms.filter((entry) => entry.isDirectory() && entry.name !== 'testing').map(({ name }) => name)
    t.deepEqual(rows.toSorted(), named.toSorted(), section)
  }
})

test('temporary folders of tests have the name by which checks for leftovers know them', (t) => {
  const folders = ['test', ...readdirSync(join(root, 'packages')).map((name) => join('packages', name))]
  const files = folders.flatMap((folder) =>
    readdirSync(join(root, folder, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.test.ts') || (path.endsWith('.ts') && /support|testing/.test(path)))
      .map((path) => join(root, folder, 'src', path)),
  )
  const calls = files.flatMap(
    (file) => readFileSync(file, 'utf8').match(/mkdtemp(?:Sync)?\(join\(tmpdir\(\), '.*/g) ?? [],
  )
  t.true(calls.length > 20)
  t.deepEqual(
    calls.filter((call) => !call.includes("'troupe-test-'")),
    [],
  )
})

/** What lint says of a project that has these files, by their paths in packages/, under the rules of this one. */
function lint(t: ExecutionContext, files: Readonly<Record<string, string>>): { status: number | null; text: string } {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const { vcs: _, $schema: __, ...rules } = JSON.parse(readFileSync(join(root, 'biome.json'), 'utf8'))
  writeFileSync(join(folder, 'biome.json'), JSON.stringify(rules))
  for (const [path, content] of Object.entries(files)) {
    const file = join(folder, 'packages', path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content)
  }
  const biome = join(root, 'node_modules', '.bin', 'biome')
  const { status, stdout, stderr } = spawnSync(
    biome,
    ['lint', '--error-on-warnings', '--max-diagnostics=none', 'packages'],
    {
      cwd: folder,
      encoding: 'utf8',
    },
  )
  return { status, text: stdout + stderr }
}

function importing(module: string): string {
  return `import type { Planted } from '${module}'\n\nexport type Other = Planted\n`
}

/** Rooms with what they may not import, and what they may. */
const arrows = [
  ['core/src/common', '../store/store.js', './errors.js'],
  ['core/src/transport', '../runtime/runtime.js', '../store/store.js'],
  ['core/src/node', '../head/head.js', '../runtime/runtime.js'],
  ['core/src/api', '../worker/worker.js', '../channel/channel.js'],
  ['core/src/worker', '../testing/counter.js', '../index.js'],
  ['llm/src/parallel', '../layers/linear.js', './plan.js'],
  ['serve/src/openai', '../responses/store.js', '../http/service.js'],
  ['llm/src/planner', '../engine/engine.js', '../models/config.js'],
  ['llm/src/chat', '../engine/engine.js', '../tokenizer/tokenizer.js'],
  ['llm/src/engine', '../api/llm.js', '../models/config.js'],
] as const

test('lint refuses an import against the order of the rooms', (t) => {
  const { status, text } = lint(
    t,
    Object.fromEntries(arrows.map(([room, against]) => [`${room}/planted.ts`, importing(against)])),
  )
  t.is(status, 1, text)
  for (const [room] of arrows) {
    t.true(text.includes(`packages/${room}/planted.ts:1:`), `${room}: ${text}`)
  }
  t.is(text.match(/lint\/style\/noRestrictedImports/g)?.length, arrows.length, text)
})

test('lint takes an import with the order, and refuses circles and files of more than 450 lines', (t) => {
  const lines = (count: number) => Array.from({ length: count }, (_, index) => `export const n${index} = 0\n`).join('')
  const right = Object.fromEntries(arrows.map(([room, , along]) => [`${room}/planted.ts`, importing(along)]))
  const sound = lint(t, { ...right, 'core/src/common/long.ts': lines(450) })
  t.is(sound.status, 0, sound.text)

  const circle = (other: string) => `import { n0 } from './${other}.js'\n\nexport const n1 = n0\n`
  const unsound = lint(t, {
    'core/src/common/long.ts': lines(451),
    'core/src/store/a.ts': circle('b'),
    'core/src/store/b.ts': circle('a'),
  })
  t.is(unsound.status, 1)
  t.regex(unsound.text, /long\.ts:1:1 lint\/style\/noExcessiveLinesPerFile/)
  t.regex(unsound.text, /a\.ts:1:20 lint\/suspicious\/noImportCycles/)
})

test('native code includes along the order of the rooms on the page, in files of at most 450 lines', (t) => {
  const rooms = rowsOf('### native')
  t.is(rooms.length, 9)
  t.deepEqual(faultsOf(join(root, 'native'), rooms), [])
})

test('an include against the order of the native rooms, a circle and a file of more than 450 lines are found', (t) => {
  const rooms = rowsOf('### native')
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const write = (path: string, content: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), content)
  }
  for (const room of rooms) write(`src/${room}/here.h`, '#pragma once\n')
  for (const [place, room] of rooms.entries()) {
    const along = rooms.slice(0, place + 1).map((other) => `#include "${other}/here.h"\n`)
    write(`src/${room}/along.cc`, `#include <vector>\n${along.join('')}`)
  }
  write('src/addon/binding.cc', '#include <napi.h>\n')
  write('src/memory/long.cc', '//\n'.repeat(450))
  t.deepEqual(faultsOf(folder, rooms), [])

  const planted: string[] = []
  const plant = (path: string, content: string) => {
    write(path, content)
    planted.push(path)
  }
  for (const [place, room] of rooms.slice(0, -1).entries()) {
    plant(`src/${room}/against.cc`, `#include "${rooms[place + 1]}/here.h"\n`)
  }
  plant('src/memory/in_brackets.h', '#  include <addon/here.h>\n')
  plant('src/store/by_path.cc', '#include "../device/here.h"\n')
  plant('src/store/beside.cc', '#include "here.h"\n')
  plant('src/program/napi.cc', '#include <node_api.h>\n')
  plant('src/elsewhere/new.cc', '\n')
  plant('src/memory/longer.inl', '//\n'.repeat(451))
  plant('test/longer_test.cc', '//\n'.repeat(451))
  plant('src/sync/circle.h', '#include "sync/other.h"\n')
  write('src/sync/other.h', '#include "sync/circle.h"\n')
  const faults = faultsOf(folder, rooms).map((fault) => fault.slice(0, fault.indexOf(':')))
  t.deepEqual(faults.toSorted(), planted.toSorted())
})
