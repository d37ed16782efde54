import test from 'ava'
import { ActorDiedError, connect } from '../index.js'
import { run } from '../testing/programs.js'
import { RemoteTalker } from '../testing/talker.js'

for (const how of ['started by', 'joined by'] as const) {
  test.serial(`in a cluster ${how} a driver its stderr has what its workers write, prefixed and folded`, async (t) => {
    const head = how === 'joined by' ? run(t, 'head-program.js') : undefined
    const driver = run(t, 'logging-program.js', ...(head ? [await head.line()] : []))
    t.deepEqual(JSON.parse(await driver.line()), ['once', 'again', 'again', 'again', 'done'])
    const errors = await driver.untilError(/in unison \(came/)
    const lines = errors.split('\n')
    const plain = ['[plain] once', '[plain] again', '[plain] (the line before came 2 more times)', '[plain] done']
    t.deepEqual(
      lines.filter((line) => line.startsWith('[plain]')),
      plain,
    )
    t.true(lines.includes('shop | tidy'))
    t.true(lines.includes('naked'))
    const unison = lines.filter((line) => line.startsWith('mesh | '))
    t.is(unison.length, 2)
    t.is(unison[0], 'mesh | in unison')
    t.regex(unison[1]!, /^mesh \| in unison \(came 2 more times, from Lodger\[member=\d\], Lodger\[member=\d\]\)$/)
    driver.child.kill('SIGKILL')
    await driver.ended
    head?.child.kill('SIGTERM')
    await head?.ended
  })
}

test.serial('a driver that takes the lines of its actors gets all of them, and its stderr none', async (t) => {
  const lines: string[] = []
  const cluster = await connect({ onLog: (line) => lines.push(line), onFailure() {} })
  const talker = await RemoteTalker.options({ name: 'parrot' }).spawn()
  await t.throwsAsync(async () => await talker.exitAfter(1, 'one', 'two'), { instanceOf: ActorDiedError })
  await cluster.shutdown()
  t.deepEqual(lines.sort(), ['[parrot] one', '[parrot] two', '[parrot] x', '[parrot] y'])
})
