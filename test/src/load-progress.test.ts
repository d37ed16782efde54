import { connect, InvalidInputError } from '@troupe/core'
import { Engine, type LoadProgress, ModelWorker, stageSpec } from '@troupe/llm'
import test from 'ava'
import { stories, tales } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

const isRising = (numbers: readonly number[]) => numbers.every((number, i) => i === 0 || number >= numbers[i - 1]!)

async function progressOf(model: string, plan: object): Promise<LoadProgress[]> {
  const cluster = await connect()
  const told: LoadProgress[] = []
  await Engine.start(cluster, { model, plan, replicas: 1, onLoadProgress: (progress) => told.push(progress) })
  await cluster.shutdown()
  return told
}

test.serial('an engine tells how much of the weights all its workers have loaded, up to all of them', async (t) => {
  new ProcessGuard(t)
  const alone = await progressOf(tales, {})
  const { totalBytes } = alone[0]!
  t.is(alone[0]!.loadedBytes, 0)
  for (const plan of [{ pipeline: 2 }, { tensor: 2 }]) {
    const told = await progressOf(tales, plan)
    const totals = told.map((progress) => progress.totalBytes)
    // Stages have all of a model between them, but for tied embeddings, which the first and the last stage both have.
    t.true(totals[0]! > 0.99 * totalBytes && totals[0]! < 2 * totalBytes)
    t.is(new Set(totals).size, 1)
    t.true(isRising(told.map(({ loadedBytes }) => loadedBytes)))
    t.is(told.at(-1)!.loadedBytes, totals[0]!)
    t.true(told.length > 4)
  }
})

test.serial('what is loaded in place of workers that died is not told', async (t) => {
  new ProcessGuard(t)
  const cluster = await connect()
  const told: LoadProgress[] = []
  const engine = await Engine.start(cluster, { model: tales, replicas: 2, onLoadProgress: (one) => told.push(one) })
  const { loadedBytes, totalBytes } = told.at(-1)!
  t.is(loadedBytes, totalBytes)
  const before = told.length
  for (const { pid } of engine.workers) process.kill(pid, 'SIGKILL')
  const tokens: number[] = []
  for await (const { token } of engine.generate([1, 40, 50], { maxTokens: 4, stopAtEnd: false })) tokens.push(token)
  t.is(tokens.length, 4)
  t.true(engine.load.restarts > 0)
  t.is(told.length, before)
  await cluster.shutdown()
})

test('a worker that loads gives way between its layers', async (t) => {
  const worker = new ModelWorker(stageSpec(stories, {}, { tokens: 8, contextLength: 16 }))
  t.throws(() => worker.info(), { message: /load\(\) has to come before info\(\)/ })
  let turns = 0
  const count = () => {
    turns++
    turn = setImmediate(count)
  }
  let turn = setImmediate(count)
  const told: LoadProgress[] = []
  for await (const progress of worker.loadInParts({})) told.push(progress)
  clearImmediate(turn)
  t.true(turns >= told.length - 1)
  t.true(told.length >= worker.info().layers.end + 2)
  t.is(told.at(-1)!.loadedBytes, told[0]!.totalBytes)
})

test('a function to tell of the loading is one', async (t) => {
  await t.throwsAsync(Engine.start({} as never, { model: tales, onLoadProgress: 3 as never }), {
    instanceOf: InvalidInputError,
    message: 'onLoadProgress must be a function; found 3',
  })
})
