import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { Communicator } from './communicator.js'
import { Tensor } from './tensor.js'
import { Trace } from './trace.js'

const ROWS = 2048
const COLUMNS = 1024
const BYTES = ROWS * COLUMNS * 4

/** A matrix of ones in a file, mapped. */
function mappedMatrix(t: ExecutionContext): { path: string; matrix: Tensor<'float32'>; content: Uint8Array } {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'weights')
  const content = new Uint8Array(new Float32Array(ROWS * COLUMNS).fill(1).buffer)
  writeFileSync(path, content)
  const fd = openSync(path, 'r')
  const matrix = Tensor.map('float32', [ROWS, COLUMNS], { fd, offset: 0 })
  closeSync(fd)
  return { path, matrix, content }
}

/** x · matrixᵀ for an x of ones: sums of COLUMNS ones. */
function productWith(matrix: Tensor) {
  const trace = new Trace()
  const x = trace.input('x', 1, COLUMNS, 'float32')
  const program = trace.compile({ y: trace.linear(x, trace.constant(matrix)) }, { threads: 2 })
  program.inputs.x!.fill(1)
  return program
}

const wasCut = (path: string, bytes: number) => ({
  message: `${path} was ${BYTES} bytes when it was opened and is ${bytes} now; put it back and open it again`,
})

test('a tensor over a file that was cut says so wherever it is used, and an array over it has zeros and not a crash', async (t) => {
  const { path, matrix } = mappedMatrix(t)
  const rows = matrix.rows(ROWS - 1, ROWS)
  const { data } = matrix
  t.is(rows.data[0], 1)
  truncateSync(path, 4096)
  t.is(data[1000], 1)
  t.true(data.subarray(1024).every((value) => value === 0))
  const cut = wasCut(path, 4096)
  for (const tensor of [matrix, rows, matrix.reshape([COLUMNS, ROWS])]) {
    t.throws(() => tensor.verify(), cut)
    t.throws(() => tensor.data, cut)
    t.throws(() => tensor.bytes, cut)
  }
  await t.throwsAsync(Tensor.zeros('float32', [ROWS, COLUMNS]).copyFrom(matrix), cut)
})

test('a program over a file that was cut between runs fails from then on, also when the file is put back', async (t) => {
  const { path, matrix, content } = mappedMatrix(t)
  const program = productWith(matrix)
  await program.run({})
  t.true(program.outputs.y!.data.every((value) => value === COLUMNS))
  truncateSync(path, BYTES / 2)
  await t.throwsAsync(program.run({}), wasCut(path, BYTES / 2))
  t.throws(() => productWith(matrix), wasCut(path, BYTES / 2))
  writeFileSync(path, content)
  await t.throwsAsync(program.run({}), { message: /was cancelled|was written to/ })
  t.throws(() => productWith(matrix), { message: `${path} was written to since it was opened; open it again` })
})

test('runs while a file is cut give what it held, or an error that names it', async (t) => {
  for (let round = 0; round < 5; round++) {
    const { path, matrix } = mappedMatrix(t)
    const program = productWith(matrix)
    let failed = false
    for (let run = 0; run < 200 && !failed; run++) {
      const running = program.run({})
      if (run === round * 3) truncateSync(path, 0)
      try {
        await running
        t.true(program.outputs.y!.data.every((value) => value === COLUMNS))
      } catch (error) {
        t.is((error as Error).message, wasCut(path, 0).message)
        failed = true
      }
    }
    t.true(failed)
  }
})

test('a file that is written to in place, at the same size, is no longer what was mapped', async (t) => {
  const { path, matrix, content } = mappedMatrix(t)
  const program = productWith(matrix)
  utimesSync(path, 1, 1)
  writeFileSync(path, content.fill(0))
  await t.throwsAsync(program.run({}), { message: `${path} was written to since it was opened; open it again` })
  t.throws(() => matrix.data, { message: /was written to/ })
})

test('a collective that sends what a file held fails on the rank whose file was cut, and on the others', async (t) => {
  const groups = [0, 1].map((rank) => new Communicator({ rank, size: 2, name: 'pair', node: 'a', token: 'secret' }))
  await Promise.all(groups.map((group) => group.connect(groups.map(({ address }) => address))))
  const { path, matrix } = mappedMatrix(t)
  const received = Tensor.zeros('float32', [ROWS, COLUMNS])
  await Promise.all([groups[0]!.send(1, matrix), groups[1]!.receive(0, received)])
  t.true(received.data.every((value) => value === 1))
  truncateSync(path, 10)
  await t.throwsAsync(groups[0]!.send(1, matrix), wasCut(path, 10))
  groups[0]!.abort('the test is over')
})

test('a process that has mapped a file still ends by a bus error that is not the file’s', (t) => {
  const code = `
    import { openSync } from 'node:fs'
    import { Tensor } from ${JSON.stringify(new URL('./tensor.js', import.meta.url).href)}
    Tensor.map('uint8', [1], { fd: openSync(process.execPath, 'r'), offset: 0 }).data[0]
    process.kill(process.pid, 'SIGBUS')
    setInterval(() => undefined, 1000)`
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { timeout: 30_000 })
  t.is(signal, 'SIGBUS')
})
