import { existsSync, mkdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import test from 'ava'
import { InvalidInputError } from '../common/errors.js'
import { makeStore } from '../store/store.js'
import { temporaryFolder } from '../testing/temporary.js'
import { OwnFolder } from './own-folder.js'

/** No process has an id as large. */
const GONE = 2 ** 31 - 1

const { TMPDIR } = process.env

test.afterEach.always(() => {
  if (TMPDIR === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = TMPDIR
})

test.serial("what processes of this user left behind is removed, and what is another user's is left alone", (t) => {
  process.env.TMPDIR = temporaryFolder(t)
  const own = new OwnFolder()
  const path = own.path()
  const [start] = basename(path).split(`${process.pid}-`)
  const user = process.getuid!()
  const [left, other, unknown] = [`${GONE}-${user}-a`, `${GONE}-${user + 1}-a`, `${GONE}-a`].map((rest) => {
    const folder = join(dirname(path), start + rest)
    mkdirSync(folder)
    return folder
  })
  const next = new OwnFolder()
  next.path()
  t.deepEqual(
    [left, other, unknown].map((folder) => existsSync(folder!)),
    [false, true, true],
  )
  t.true(existsSync(path))
  own.remove()
  next.remove()
  t.false(existsSync(path))
})

test.serial('without a folder for temporary files nothing is spilled, and who needs one is told what to set', (t) => {
  process.env.TMPDIR = join(temporaryFolder(t), 'missing')
  t.throws(() => new OwnFolder().path(), { instanceOf: InvalidInputError, message: /missing.*set TMPDIR/ })
  t.notThrows(() => makeStore({ memory: 2 ** 20 }))
  const refusal = { instanceOf: InvalidInputError, message: /missing.*; set TMPDIR or store\.folder/ }
  t.throws(() => makeStore({ memory: 2 ** 20, disk: 2 ** 20 }), refusal)
})
