// Runs test files many times beside a busy process, to find a test that fails now and then.
//
//   node scripts/repeat.mjs TIMES FILE …     compiled test files, as for `npm test`; run `npm run build` before
//
// One file runs after the other. Prints a line a run, and what a failed one printed; ends with status 1 if any failed.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { root } from './setup.mjs'

const [times, ...files] = process.argv.slice(2)
if (!(Number(times) >= 1) || files.length === 0) {
  process.stderr.write(
    'error: expected how often, and test files: node scripts/repeat.mjs 30 test/dist/plans.test.js\n',
  )
  process.exit(2)
}
const busy = spawn(process.execPath, ['-e', 'for (;;) {}'], { stdio: 'ignore' })
process.on('exit', () => busy.kill('SIGKILL'))
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))

let failures = 0
for (let run = 1; run <= Number(times); run++) {
  for (const file of files) {
    const began = performance.now()
    const { status, output } = await ava(file)
    const seconds = ((performance.now() - began) / 1000).toFixed(0)
    console.log(`${status === 0 ? 'passed' : 'FAILED'} run ${run} of ${times}, ${seconds} s: ${file}`)
    if (status === 0) continue
    failures++
    console.log(output)
  }
}
console.log(`${Number(times) * files.length - failures} runs passed, ${failures} failed`)
process.exit(failures === 0 ? 0 : 1)

function ava(file) {
  const child = spawn(join(root, 'node_modules', '.bin', 'ava'), [file], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data))
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, output })))
}
