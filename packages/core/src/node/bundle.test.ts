import { appendFileSync, cpSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { run } from '../testing/programs.js'
import { temporaryFolder } from '../testing/temporary.js'

const packages = fileURLToPath(new URL('../../../', import.meta.url))
const script = join(packages, '../scripts/bundle.mjs')

/** A user's module, which asks where its worker and what it imports itself come from. */
const ACTOR = `
import { actor, currentActor, InvalidInputError } from '@troupe/core'
import { Tensor } from '@troupe/tensor'
export class Place {
  entry() {
    return process.argv[1]
  }
  core() {
    return import.meta.resolve('@troupe/core')
  }
  name() {
    return currentActor().name
  }
  sum(tensor) {
    return tensor instanceof Tensor && [...tensor.data].reduce((a, b) => a + b)
  }
  fail() {
    throw new InvalidInputError('on purpose')
  }
}
export const RemotePlace = actor(import.meta.url, Place)
`

/** Tells of a worker of each kind, a line each. */
const PROGRAM = `
import { connect, InvalidInputError } from '@troupe/core'
import { Tensor } from '@troupe/tensor'
import { RemotePlace } from './place.js'
const cluster = await connect()
for (const isolation of ['process', 'thread', 'local']) {
  const place = await RemotePlace.options({ isolation, name: isolation }).spawn()
  const error = await place.fail().catch((error) => error)
  const told = {
    entry: await place.entry(),
    core: await place.core(),
    name: await place.name(),
    sum: await place.sum(Tensor.from('float32', [2], [1, 2])),
    isFailure: error instanceof InvalidInputError,
  }
  console.log(JSON.stringify(told))
}
await cluster.shutdown()
`

interface Told {
  readonly entry: string
  readonly core: string
  readonly name: string
  readonly sum: number
  readonly isFailure: boolean
}

/** A project that has this package as one that is installed, with a copy of what was compiled. */
function project(t: ExecutionContext): string {
  const folder = temporaryFolder(t, {
    'package.json': '{ "type": "module" }',
    'place.js': ACTOR,
    'program.js': PROGRAM,
  })
  for (const name of ['core', 'tensor']) {
    const [from, to] = [join(packages, name), join(folder, 'node_modules/@troupe', name)]
    cpSync(join(from, 'package.json'), join(to, 'package.json'))
    cpSync(join(from, 'dist'), join(to, 'dist'), { recursive: true })
  }
  const own = join(packages, 'core/node_modules')
  symlinkSync(join(own, '@troupe/native'), join(folder, 'node_modules/@troupe/native'))
  for (const name of readdirSync(own)) {
    if (!name.startsWith('.') && name !== '@troupe' && !name.startsWith('@types')) {
      symlinkSync(join(own, name), join(folder, 'node_modules', name))
    }
  }
  return folder
}

async function makeBundle(t: ExecutionContext, folder: string): Promise<void> {
  const installed = ['core', 'tensor'].map((name) => join(folder, 'node_modules/@troupe', name))
  const made = run(t, script, ...installed)
  t.is(await made.ended, 0, made.errors())
}

/** What workers of each kind tell, those in processes of their own first. */
async function tell(t: ExecutionContext, folder: string): Promise<Told[]> {
  const program = run(t, join(folder, 'program.js'))
  const told = [JSON.parse(await program.line()), JSON.parse(await program.line()), JSON.parse(await program.line())]
  t.is(await program.ended, 0)
  for (const { name, sum, isFailure } of told) t.deepEqual([sum, isFailure], [3, true], name)
  t.deepEqual(
    told.map(({ name }) => name),
    ['process', 'thread', 'local'],
  )
  return told
}

test('a worker starts from the bundle that was made of what is there, and shares its modules with those of users', async (t) => {
  const folder = project(t)
  const core = join(folder, 'node_modules/@troupe/core')
  const found = async () => (await tell(t, folder)).map(({ entry, core }) => [entry, fileURLToPath(core)])
  const own = [join(folder, 'program.js'), join(core, 'dist/index.js')]
  const compiled = [
    [join(core, 'dist/worker/main.js'), join(core, 'dist/index.js')],
    [join(core, 'dist/worker/main.js'), join(core, 'dist/index.js')],
    own,
  ]
  t.deepEqual(await found(), compiled, 'without a bundle')
  await makeBundle(t, folder)
  const bundled = [
    [join(core, 'bundle/worker/main.js'), join(core, 'bundle/index.js')],
    [join(core, 'bundle/worker/main.js'), join(core, 'bundle/index.js')],
    own,
  ]
  t.deepEqual(await found(), bundled, 'with one')
  appendFileSync(join(folder, 'node_modules/@troupe/tensor/dist/tensor.js'), '\n// changed\n')
  t.deepEqual(await found(), compiled, 'with one that is older than what it was made of')
  await makeBundle(t, folder)
  t.deepEqual(await found(), bundled, 'with a new one')
})
