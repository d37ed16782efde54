import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { actor, remote } from '../index.js'
import { useCluster } from '../testing/use-cluster.js'

useCluster(test)

const sources = new URL('../../fixtures/typescript/', import.meta.url)
const urlOf = (name: string) => new URL(name, sources).href

test('a driver that is TypeScript runs without a build step, and so do its actors and tasks', async (t) => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', new URL('register.js', import.meta.url).href, 'app.ts'],
    { cwd: new URL('.', sources) },
  )
  const lines = stdout.trim().split('\n')
  t.is(lines.length, 7)
  for (const isolation of [0, 1, 2]) {
    t.deepEqual(JSON.parse(lines[isolation * 2]!), { name: '3-gon', sides: 3, colour: 'green' })
    const stack = JSON.parse(lines[isolation * 2 + 1]!)
    t.regex(
      stack,
      /painter\.ts:14:11[\s\S]*called as Painter#\d\.fail from\n.*app\.ts:10:38/,
      'stacks name the sources',
    )
  }
  t.is(lines[6], 'red+green')
})

test('a driver that is JavaScript can name a module that is TypeScript', async (t) => {
  class Painter {
    paint(sides: number): object {
      throw new Error(`the class itself is in painter.ts, ${sides}`)
    }
  }
  const painter = await actor(urlOf('painter.ts'), Painter).spawn()
  t.deepEqual(await painter.paint(4), { name: '4-gon', sides: 4, colour: 'red' })
  const mix = remote(urlOf('painter.ts'), function mix(...colours: string[]): string {
    throw new Error(`so is the function, ${colours}`)
  })
  t.is(await mix('red', 'red'), 'red+red')
})

test('enums and parameter properties work, also where no package.json says what a module is', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  for (const parent of ['', 'node_modules/palette']) {
    const path = join(folder, parent, 'lamp.ts')
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(
      path,
      `enum Colour { Red = 'red' }
      export class Lamp { constructor(readonly watts: number) {} light(): string { return Colour.Red + this.watts } }`,
    )
    class Lamp {
      constructor(readonly watts: number) {}
      light(): string {
        throw new Error('the class itself is in lamp.ts')
      }
    }
    const lamp = await actor(pathToFileURL(path).href, Lamp).spawn(40)
    t.is(await lamp.light(), 'red40')
  }
})

test('a source that is no TypeScript fails the spawn, and says where', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'broken.ts')
  writeFileSync(path, 'export class Broken {\n  paint(sides: ): number {}\n}\n')
  class Broken {}
  const spawn = () => actor(pathToFileURL(path).href, Broken).spawn()
  await t.throwsAsync(spawn, { instanceOf: SyntaxError, message: /broken\.ts: Unexpected token[\s\S]*broken\.ts:2:16/ })
})
