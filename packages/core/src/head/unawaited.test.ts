import test from 'ava'
import { connect } from '../index.js'
import { logOf } from '../testing/log-lines.js'
import { RemoteProbe } from '../testing/probe.js'
import { run } from '../testing/programs.js'
import { until } from '../testing/until.js'

const told = (errors: string) => errors.match(/\S+ failed, and nobody awaited it/g) ?? []

for (const [when, end] of [
  ['collected', 'ends'],
  ['ends', 'ends'],
] as const) {
  test.serial(`a failure that nobody has awaited is told when ${when}, once a method, with what it is`, async (t) => {
    const driver = run(t, 'unawaited-program.js', 'warn', when)
    while ((await driver.line()) !== end);
    t.is(await driver.ended, 0)
    const errors = driver.errors()
    t.deepEqual(told(errors).toSorted(), [
      'careless.see failed, and nobody awaited it',
      'careless.throwTypeError failed, and nobody awaited it',
    ])
    t.regex(errors, /careless\.throwTypeError .*\(and 1 more calls of it\): TypeError: expected a type/)
    t.regex(errors, /called as careless\.throwTypeError from\n +at .*unawaited-program/)
    t.regex(errors, /careless\.see .*: InvalidInputError: .*unsendable/)
    t.regex(errors, /release\(\) its ref/)
  })
}

test.serial('it is an error that nothing catches, or nothing, where the driver asks for that', async (t) => {
  const thrown = run(t, 'unawaited-program.js', 'throw', 'collected')
  t.is(await thrown.ended, 1)
  t.regex(thrown.errors(), /UnawaitedFailureError: careless\.\w+ failed, and nobody awaited it/)
  const late = run(t, 'unawaited-program.js', 'throw', 'ends')
  t.is(await late.ended, 1)
  t.regex(late.errors(), /UnawaitedFailureError: careless\.\w+ failed, and nobody awaited it/)
  const ignored = run(t, 'unawaited-program.js', 'ignore', 'ends')
  t.is(await ignored.ended, 0)
  t.deepEqual(told(ignored.errors()), [])
  await t.throwsAsync(() => connect({ unawaitedFailures: 'never' as never }), {
    message: /must be warn, throw or ignore/,
  })
})

test.serial('a broadcast that fails is told in the log of each member, and counted', async (t) => {
  await using cluster = await connect({ onLog: logOf(t) })
  const mesh = await RemoteProbe.options({ name: 'probe' }).spawnMesh({ member: 2 })
  mesh.broadcast('throwOddError')
  mesh.broadcast('see', { unsendable() {} })
  const names = (await cluster.actors()).map(({ name }) => name)
  for (const name of names) {
    const lines = await until(
      () => cluster.logs(name),
      (told) => [/OddError: odd/, /unsendable/].every((pattern) => told.some((line) => pattern.test(line))),
    )
    const isTold = (pattern: RegExp) => lines.some((line) => pattern.test(line))
    t.true(isTold(/\.throwOddError was broadcast, and failed: OddError: odd$/), lines.join('\n'))
    t.true(isTold(/\.see was broadcast, and failed: InvalidInputError: .*unsendable/), lines.join('\n'))
  }
  t.deepEqual(
    (await cluster.actors()).map(({ failedBroadcasts }) => failedBroadcasts),
    [2, 2],
  )
})
