import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { connect, placementGroup, put } from '@troupe/core'
import { startHead } from '@troupe/core/cluster'
import test from 'ava'
import { RemoteTalker } from '../testing/talker.js'

const troupe = fileURLToPath(new URL('../../bin/troupe.js', import.meta.url))

async function run(...args: string[]): Promise<{ stdout: string; stderr: string; code: number }> {
  try {
    return { ...(await promisify(execFile)(process.execPath, [troupe, ...args])), code: 0 }
  } catch (error) {
    return error as { stdout: string; stderr: string; code: number }
  }
}

test('the state of a cluster can be read from the command line', async (t) => {
  const head = await startHead({ host: '127.0.0.1', port: 0 }, { resources: { cpu: 3, licence: 2 } })
  t.teardown(() => head.close())
  const { address } = head
  await using _cluster = await connect({ address, onLog() {} })
  const talker = await RemoteTalker.options({ name: 'parrot', resources: { licence: 0.5 } }).spawn()
  await talker.say(['one', 'two', 'two'])
  const group = await placementGroup([{ cpu: 1 }])
  const json = async (...args: string[]) => JSON.parse((await run(...args, '--address', address, '--json')).stdout)

  const status = await json('status')
  t.is(status.actors, 1)
  t.is(status.nodes[0].free.licence, 1.5)
  t.regex(
    (await run('status', '--address', address)).stdout,
    /1 nodes, 1 actors.*\n[\s\S]*cpu 2 of 3.*licence 1\.5 of 2/,
  )
  const [actor] = await json('list', 'actors')
  t.like(actor, { name: 'parrot', className: 'Talker', state: 'alive', restarts: 0 })
  t.regex(
    (await run('list', 'actors', '--address', address)).stdout,
    /^name +class +state[\s\S]*\nparrot +Talker +alive/,
  )
  t.is((await json('list', 'nodes')).length, 1)
  t.deepEqual(await json('list', 'tasks'), [])
  t.is((await json('list', 'placement-groups'))[0].id, group.id)
  t.deepEqual(await json('logs', 'parrot'), ['one', 'two', 'two'])
  t.is((await run('logs', 'parrot', '--address', address)).stdout, 'one\ntwo\ntwo\n')
  const kept = put(Uint8Array.of(1))
  t.like((await json('list', 'objects'))[0], {
    id: kept.id,
    state: 'ready',
    owner: { name: 'driver', pid: process.pid },
  })
  t.regex((await run('list', 'objects', '--address', address)).stdout, /^object +state +bytes[\s\S]*ready[\s\S]*driver/)
  t.like(await json('stack', 'parrot'), { name: 'parrot', state: 'idle', frames: [] })
  t.regex((await run('stack', 'parrot', '--address', address)).stdout, /^parrot \(process \d+\) is idle/)

  const refused: [string[], RegExp][] = [
    [['logs', 'nobody', '--address', address], /^error: no actor named nobody has lived lately/],
    [['list', 'things', '--address', address], /^error: expected one of actors, nodes.*found things/],
    [['stack', 'nobody', '--address', address], /^error: no actor named nobody lives/],
  ]
  for (const [args, message] of refused) {
    const { code, stderr } = await run(...args)
    t.is(code, 2)
    t.regex(stderr, message)
  }
})
