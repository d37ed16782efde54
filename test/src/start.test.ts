import { join } from 'node:path'
import test from 'ava'
import { ProcessGuard, root } from './support/processes.js'

test.serial('npm start tells a story and then shows every worker and the speeds', async (t) => {
  const guard = new ProcessGuard(t)
  const end = await guard.run('npm', ['start', '--silent', '--', '--seed', '7', '--max-tokens', '60']).finished
  t.is(end.status, 0, end.stderr)
  t.regex(end.stdout, /^Once upon a time\b[\s\S]{80,}/)
  t.regex(end.stderr, /pipeline +tensor +sequence +pid +layers +heads +weights MB +KV cache MB/)
  t.is([...end.stderr.matchAll(/^ +[01] +[01] +0 +\d+ +\d-\d +4 of 8 +\d\.\d\d +\d\.\d\d$/gm)].length, 4)
  t.regex(end.stderr, /prefill \d+ tokens\/s, decode \d+ tokens\/s/)
})

test.serial('the same seed tells the same story under every plan, another seed another one', async (t) => {
  const guard = new ProcessGuard(t)
  const tell = async (...flags: string[]) => {
    const common = ['--max-tokens', '50', '--json', '--top-p', '0.95', ...flags]
    const end = await guard.run('npm', ['start', '--silent', '--', ...common]).finished
    t.is(end.status, 0, end.stderr)
    return JSON.parse(end.stdout).text
  }
  const story = await tell('--seed', '7')
  t.is(await tell('--seed', '7', '--pipeline', '1', '--tensor', '1', '--sequence', '2'), story)
  t.not(await tell('--seed', '8'), story)
})

test.serial('while a story is told, ps shows what each process is', async (t) => {
  const guard = new ProcessGuard(t)
  const story = guard.run(process.execPath, [join(root, 'scripts', 'start.mjs'), '--max-tokens', '1500'])
  await story.printed(/Once upon a time.{10}/)
  const commands = guard.living().map(({ command }) => command)
  t.is(commands.filter((command) => command === 'troupe head').length, 1, commands.join('\n'))
  const workers = commands.filter((command) => command.startsWith('troupe worker ModelWorker['))
  t.is(workers.length, 4, commands.join('\n'))
  story.child.kill('SIGINT')
  await story.finished
})

test.serial('a reader that closes the pipe early ends the run without a complaint', async (t) => {
  const guard = new ProcessGuard(t)
  const end = await guard.run('bash', ['-c', 'set -o pipefail; node scripts/start.mjs --max-tokens 1500 | head -c 30'])
    .finished
  t.like(end, { status: 0, stderr: '' })
  t.is(end.stdout.length, 30)
})
