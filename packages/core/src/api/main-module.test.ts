import { execFile } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { isMain } from '../index.js'
import { temporaryFolder } from '../testing/temporary.js'

const program = fileURLToPath(new URL('../testing/one-file-program.js', import.meta.url))

test('a program and its actors in one file run, however the file is named, and only the program is the main module', async (t) => {
  const link = join(temporaryFolder(t), 'program.js')
  symlinkSync(program, link)
  for (const name of [program, program.replace(/\.js$/, ''), link]) {
    const { stdout } = await promisify(execFile)(process.execPath, [name], { timeout: 60_000 })
    t.is(stdout, '[false,false]\n', name)
  }
  t.false(isMain(import.meta))
  t.false(isMain({ url: 'data:text/javascript,' }))
})
