// npm test: sets up what is missing, then runs the tests of the native code and those in TypeScript.
//
//   npm test [-- FILE …]     only these test files (compiled: packages/…/dist/….test.js)
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { root, setup } from './setup.mjs'

setup()
const files = process.argv.slice(2)
const counts = { passed: 0, failed: 0 }
/** Shown once more at the end, which may be all that is kept of the output. */
const failures = []

if (files.length === 0) {
  const build = join(root, 'native', 'build', 'tests')
  await run('cmake', ['-S', join(root, 'native'), '-B', build, '-DTROUPE_TESTS=ON'], { quiet: true })
  await run('cmake', ['--build', build, '--parallel', String(availableParallelism())], { quiet: true })
  const { status, output } = await run(join(build, 'native_tests'), [])
  count(output, /(\d+) passed, \d+ failed/)
  if (status !== 0) {
    counts.failed++
    failures.push(...output.trimEnd().split('\n').slice(-3))
  }
}
const ava = await run(join(root, 'node_modules', '.bin', 'ava'), files)
// AVA sums up what passed only where nothing failed.
counts.passed += linesOf(ava.output, '✔').length
const failed = linesOf(ava.output, '✘')
counts.failed += ava.status === 0 ? 0 : Math.max(failed.length, 1)
failures.push(...failed)
for (const line of failures) console.log(line)
console.log(`${counts.passed} passed, ${counts.failed} failed`)
process.exit(counts.failed === 0 ? 0 : 1)

/** The lines of AVA's that begin with a mark: one a test, and one a file that ended early or hung. */
function linesOf(output, mark) {
  return output.match(new RegExp(`^\\s*${mark} .*$`, 'gm')) ?? []
}

function count(output, pattern) {
  counts.passed += Number(pattern.exec(output)?.[1] ?? 0)
}

/** Runs a command, showing its output unless it is quiet and succeeds. */
async function run(command, args, { quiet = false } = {}) {
  const child = spawn(command, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      output += data
      if (!quiet) process.stdout.write(data)
    })
  }
  const status = await new Promise((resolve) => child.on('close', (code) => resolve(code ?? 1)))
  if (quiet && status !== 0) {
    process.stderr.write(output)
    process.exit(1)
  }
  return { status, output }
}
