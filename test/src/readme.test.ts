import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as core from '@troupe/core'
import * as testing from '@troupe/core/testing'
import test from 'ava'
import { ProcessGuard, root } from './support/processes.js'

const readme = readFileSync(join(root, 'README.md'), 'utf8')

test('the programs in the README are the ones in examples/, and together have some 20 lines of code', (t) => {
  const blocks = [...readme.matchAll(/```ts\n\/\/ (examples\/\S+)\n([\s\S]*?)```/g)]
  t.is(blocks.length, 2)
  for (const [, path, code] of blocks) t.is(code, readFileSync(join(root, path!), 'utf8'), path)
  const lines = blocks.flatMap(([, , code]) => code!.split('\n').filter((line) => /[a-z]/.test(line)))
  t.true(lines.length <= 24, `${lines.length} lines`)
})

test('the program in the README runs and prints the average', async (t) => {
  const guard = new ProcessGuard(t)
  const end = await guard.run(process.execPath, [join(root, 'examples', 'dist', 'quickstart.js')]).finished
  t.like(end, { status: 0, stdout: '2 vectors, average:\n2\n3\n4\n' }, end.stderr)
})

test('every flag in the README and every file it links to exists', async (t) => {
  const guard = new ProcessGuard(t)
  const help = await Promise.all(
    ['generate', 'perplexity', 'start'].map((name) => guard.troupe(name, '--help').finished),
  )
  const known = help.map(({ stdout }) => stdout).join('\n')
  for (const [flag] of readme.matchAll(/--[a-z][a-z-]+/g)) t.true(known.includes(flag), flag)
  for (const [, path, section] of readme.matchAll(/\]\((?!https?:)([^)#]+)(?:#([^)]+))?\)/g)) {
    const text = readFileSync(join(root, path!), 'utf8')
    const sections = [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!.toLowerCase().replaceAll(' ', '-'))
    if (section) t.true(sections.includes(section), `${path}#${section}`)
  }
})

test('every call and every error that the guide for users of Ray names exists', (t) => {
  const guide = readFileSync(join(root, 'docs', 'coming-from-ray.md'), 'utf8')
  const ours = [...guide.matchAll(/^\|.+? \| (.+) \|$/gm)].map(([, cell]) => cell).join('\n')
  const code = [...ours.matchAll(/`([^`]+)`/g)].map(([, span]) => span!).join('\n')
  const exported = new Set([...Object.keys(core), ...Object.keys(testing)])
  const classes = [core.Cluster, core.Mesh, core.PlacementGroup, core.ObjectRef, core.RemoteClass, testing.TestCluster]
  const methods = new Set(classes.flatMap((one) => [...Object.getOwnPropertyNames(one.prototype), ...Object.keys(one)]))
  // A compiled graph is known by its interface, so that the compiler checks these.
  const ofGraphs: (string & keyof core.Graph<[], unknown>)[] = ['execute', 'stream', 'visualize', 'record', 'close']
  for (const name of ofGraphs) methods.add(name)
  for (const one of [testing.TestCluster, Promise])
    for (const name of Object.getOwnPropertyNames(one)) methods.add(name)
  const users = ['f', 'remoteF', 'add', 'encode', 'decode']
  const names = [...code.matchAll(/(\.?)\b([A-Za-z]+)(?:<\w+>)?\(/g)].filter(([, , name]) => !users.includes(name!))
  t.true(names.length > 30)
  for (const [, dot, name] of names) t.true((dot ? methods : exported).has(name!), `${dot}${name}`)
  for (const [error] of code.matchAll(/\b[A-Z]\w+Error\b/g)) t.true(exported.has(error) || error in globalThis, error)
})
