import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@troupe/core'
import {
  choosePlan,
  type Deployment,
  type Dimension,
  deploymentFor,
  Engine,
  type EngineOptions,
  workersOf,
} from '@troupe/llm'
import test from 'ava'
import { expectationsOf, stories } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

test.serial(
  'an engine over two nodes is the deployment that was predicted or asked for, worker by worker',
  async (t) => {
    const home = mkdtempSync(join(tmpdir(), 'troupe-test-'))
    t.teardown(() => rmSync(home, { recursive: true }))
    process.env.HOME = home
    const [expected] = expectationsOf(stories)
    const guard = new ProcessGuard(t)
    const head = guard.troupe('start', '--head', '--port', '0')
    const [, address] = await head.printed(/listening on (\S+:\d+)/)
    const node = guard.troupe('start', '--join', address!)
    await node.printed(/joined/)
    const cluster = await connect({ address: address! })
    const nodes = await cluster.nodes()
    t.is(nodes.length, 2)

    const run = async (deployment: Deployment, options: Omit<EngineOptions, 'model'> = { deployment }) => {
      const engine = await Engine.start(cluster, { model: stories, ...options })
      t.deepEqual(engine.deployment, deployment)
      const placements = workersOf(deployment)
      t.deepEqual(
        engine.workers.map(({ replica, coordinates, nodeId }) => ({ replica, coordinates, nodeId })),
        placements.map(({ replica, coordinates, node }) => ({ replica, coordinates, nodeId: nodes[node]!.id })),
      )
      const tokens: number[] = []
      const asked = { maxTokens: 40, stopAtEnd: false }
      for await (const { token } of engine.generate(expected!.prompt, asked)) tokens.push(token)
      t.deepEqual(tokens, expected!.greedy.slice(0, 40))
      await engine.stop()
      return new Set(engine.workers.map(({ nodeId }) => nodeId)).size
    }

    const sizes = { model: stories, contextLength: 200, maxSequences: 4, chunkTokens: 32, threads: 1 }
    const { deployment, prediction } = await choosePlan(cluster, sizes)
    t.deepEqual(deployment, prediction.deployment)
    await run(deployment, { ...sizes, plan: 'auto' })

    const outside: Dimension[] = ['pipeline', 'sequence', 'tensor']
    const asked = [
      { plan: { pipeline: 2 }, layers: [1, 4] },
      { plan: { tensor: 3 } },
      { plan: { pipeline: 2, tensor: 2 }, mapping: outside },
      { plan: { sequence: 2 }, replicas: 2 },
    ]
    for (const options of asked) {
      const given = await deploymentFor(cluster, { ...sizes, ...options })
      t.is(await run(given, { ...sizes, ...options }), 2, JSON.stringify(options))
    }
    // Not where a mesh would go by itself: the first stage on the second node.
    const given = await deploymentFor(cluster, { ...sizes, plan: { pipeline: 2 } })
    const turned = given.replicas.map((group) => {
      const [share] = group.shares
      return { ...group, shares: [1, 0].map((node) => ({ ...share!, node, nodes: 1, workers: 1 })) }
    })
    await run({ ...given, replicas: turned })
    await t.throwsAsync(Engine.start(cluster, { model: stories, deployment, threads: 2 }), {
      message: /a deployment says what threads is; leave threads out/,
    })
    await cluster.shutdown()
    head.child.kill('SIGINT')
    await Promise.all([head.finished, node.finished])
  },
)
