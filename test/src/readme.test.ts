import { readFileSync } from 'node:fs'
import { join } from 'node:path'
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
  for (const [, path] of readme.matchAll(/\]\((?!https?:)([^)]+)\)/g))
    t.notThrows(() => readFileSync(join(root, path!)))
})
