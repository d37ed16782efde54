import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'

const tales = fileURLToPath(new URL('../../../../models/tales', import.meta.url))
const module = new URL('./tokenizer.js', import.meta.url).href
const linux = process.platform === 'linux' ? test : test.skip

/** A process that cuts a text, prints its number of tokens, and then does as `then` says. */
function cutter(t: ExecutionContext, then: string, env: Record<string, string> = {}): ChildProcess {
  const program = `
    import { Tokenizer } from ${JSON.stringify(module)}
    try {
      const tokenizer = await Tokenizer.open(${JSON.stringify(tales)})
      console.log((await tokenizer.encode('Once upon a time')).length)
    } catch (error) {
      console.log(error.name, error.message)
    }
    ${then}`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

test('a process that has cut texts ends when it has nothing else to do', async (t) => {
  const child = cutter(t, '')
  t.regex(await text(child.stdout!), /^\d+\n$/)
  if (child.exitCode === null) await once(child, 'exit')
  t.is(child.exitCode, 0)
})

linux('the process that cuts texts ends with its parent, however that ends', async (t) => {
  const child = cutter(t, 'setInterval(() => {}, 1000)')
  await once(child.stdout!, 'data')
  const helpers = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ')
  t.is(helpers.length, 1)
  child.kill('SIGKILL')
  for (let waited = 0; existsSync(`/proc/${helpers[0]}`) && waited < 600; waited++) await pause(50)
  t.false(existsSync(`/proc/${helpers[0]}`))
})

test('a platform for which the library has no binary is named', async (t) => {
  const child = cutter(t, '', { NAPI_RS_NATIVE_LIBRARY_PATH: '/no/such/library.node' })
  const said = await text(child.stdout!)
  t.regex(
    said,
    /^InvalidInputError .*the package tokenizers cannot be loaded on \w+-\w+ \(.*\); install it again there/,
  )
})
