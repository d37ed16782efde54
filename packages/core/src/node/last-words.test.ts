import test from 'ava'
import { ActorDiedError } from '../index.js'
import { RemoteTalker } from '../testing/talker.js'
import { useCluster } from '../testing/use-cluster.js'

const cluster = useCluster(test)

for (const isolation of ['process', 'thread'] as const) {
  test.serial(
    `${isolation}: what an actor wrote before it exits is in its log, and the last of it in the error`,
    async (t) => {
      const talker = RemoteTalker.options({ isolation })
      const dying = await talker.options({ name: `dying-${isolation}` }).spawn()
      const error = await t.throwsAsync<ActorDiedError>(
        async () => await dying.exitAfter(500_000, 'state: saved', 'REASON: disk full'),
        { instanceOf: ActorDiedError, message: /state: saved\nREASON: disk full$/ },
      )
      t.true(error.message.length < 15_000, 'a long line is not repeated')
      const logged = await cluster().logs(`dying-${isolation}`)
      const written = logged.join('')
      for (const letter of ['x', 'y']) t.is(written.split(letter).length - 1, 500_000, `${letter} on its own stream`)
    },
  )

  test.serial(`${isolation}: an actor whose heap runs out says so, and what to do`, async (t) => {
    const talker = await RemoteTalker.options({ isolation, nodeFlags: ['--max-old-space-size=32'] }).spawn()
    await t.throwsAsync(async () => await talker.exhaust(), {
      instanceOf: ActorDiedError,
      message: /died: its JavaScript heap ran out of memory; .*nodeFlags: \['--max-old-space-size=/,
    })
  })
}
