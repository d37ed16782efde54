// npm test: sets up what is missing, then runs the tests of the native code and those in TypeScript.
//
//   npm test [-- FILE …]     only these test files (compiled: packages/…/dist/….test.js)
import { spawn, spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { root, setup } from './setup.mjs'

/**
 * Milliseconds without a word after which a test file is taken for hung. AVA has such a limit too, which never comes again once
 * it has passed while a test had asked for more time.
 */
const MOST_SILENCE = 10 * 60_000
/** Milliseconds from the request to end to the end. */
const GRACE = 30_000

setup()
const files = process.argv.slice(2)
const counts = { passed: 0, failed: 0 }
/** Shown once more at the end, which may be all that is kept of the output. */
const failures = []

if (files.length === 0) {
  // The addon's own objects, most of which the tests of the native code are made of as well.
  const build = join(root, 'native', 'build')
  await run('cmake', ['-S', join(root, 'native'), '-B', build, '-DTROUPE_TESTS=ON'], { quiet: true })
  const target = ['--target', 'native_tests', '--parallel', String(availableParallelism())]
  await run('cmake', ['--build', build, ...target], { quiet: true })
  const { status, output } = await run(join(build, 'native_tests'), [])
  count(output, /(\d+) passed, \d+ failed/)
  if (status !== 0) {
    counts.failed++
    failures.push(...output.trimEnd().split('\n').slice(-3))
  }
}
const ava = await run(join(root, 'node_modules', '.bin', 'ava'), files, { silence: MOST_SILENCE })
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

/**
 * Runs a command, showing its output unless it is quiet and succeeds.
 *
 * @param silence milliseconds without output after which it is ended, and what runs then is shown
 */
async function run(command, args, { quiet = false, silence } = {}) {
  const child = spawn(command, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  })
  let output = ''
  const timer = silence === undefined ? undefined : setTimeout(() => giveUp(child), silence)
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      timer?.refresh()
      output += data
      if (!quiet) process.stdout.write(data)
    })
  }
  const status = await new Promise((resolve) => child.on('close', (code) => resolve(code ?? 1)))
  clearTimeout(timer)
  if (quiet && status !== 0) {
    process.stderr.write(output)
    process.exit(1)
  }
  return { status, output }
}

/** Ends AVA, which then names the tests that have not ended. */
function giveUp(child) {
  console.log('nothing has ended for long; the processes that run:')
  const { stdout } = spawnSync('ps', ['-eo', 'pid,ppid,etimes,stat,wchan:20,args', '--forest'], { encoding: 'utf8' })
  console.log(stdout.replace(/(?<=^.{200}).*$/gm, ''))
  child.kill('SIGINT')
  setTimeout(() => child.kill('SIGKILL'), GRACE).unref()
}
