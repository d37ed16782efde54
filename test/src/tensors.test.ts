import { connect } from '@troupe/core'
import { Tensor } from '@troupe/tensor'
import test from 'ava'
import { ProcessGuard } from './support/processes.js'
import { RemoteScaler } from './support/scaler.js'

test.serial('a tensor passed within a node is mapped in place: caller and actor see the same elements', async (t) => {
  new ProcessGuard(t)
  const cluster = await connect()
  const scaler = await RemoteScaler.spawn()
  const tensor = Tensor.from('float32', [2, 2], [1, 2, 3, 4])
  t.is(await scaler.scale(tensor, 10), 10)
  t.deepEqual([...tensor.data], [10, 20, 30, 40])
  tensor.data[0] = 7
  t.deepEqual(await scaler.seen(), [7, 20, 30, 40])
  await cluster.shutdown()
})

test.serial('private tensors, empty ones, views and nested ones arrive with their values', async (t) => {
  new ProcessGuard(t)
  const cluster = await connect()
  const scaler = await RemoteScaler.spawn()
  const part = Tensor.from('float32', [3], [1, 2, 3], { memory: 'private' })
  t.is(await scaler.scale(part, 10), 6)
  t.deepEqual([...part.data], [1, 2, 3], 'the actor got a copy of private memory')
  t.is(await scaler.scale(Tensor.zeros('float32', [0, 5]), 2), 0)
  const rows = Tensor.from('float32', [3, 2], [1, 2, 3, 4, 5, 6]).rows(1, 2)
  t.is(await scaler.total({ name: 'nested', tensors: [part, rows] }), 13)
  await cluster.shutdown()
})

test.serial('a tensor that an actor returns stays readable, also after the actor has ended', async (t) => {
  new ProcessGuard(t)
  const cluster = await connect()
  const [first, second] = await Promise.all([RemoteScaler.spawn(), RemoteScaler.spawn()])
  const made = first.make([2, 3], 1.5)
  t.is(await second.scale(made, 2), 9, 'a ref passed on arrives as its value')
  const tensor = await made
  await cluster.shutdown()
  t.deepEqual(tensor.shape, [2, 3])
  t.true([...tensor.data].every((value) => value === 3))
})

test.serial('thousands of tensors can be passed one after another', async (t) => {
  new ProcessGuard(t)
  const cluster = await connect()
  const scaler = await RemoteScaler.spawn()
  for (let i = 0; i < 3_000; i++) t.is(await scaler.scale(Tensor.from('float32', [1], [i]), 2), i)
  await cluster.shutdown()
})

test.serial('a tensor passed to another node arrives as a copy', async (t) => {
  const guard = new ProcessGuard(t)
  const head = guard.troupe('start', '--head', '--port', '0')
  const [, address] = await head.printed(/listening on (\S+:\d+)/)
  const cluster = await connect({ address: address! })
  const scaler = await RemoteScaler.spawn()
  const tensor = Tensor.from('float32', [2], [1, 2])
  t.is(await scaler.scale(tensor, 10), 3)
  t.deepEqual([...tensor.data], [1, 2])
  t.deepEqual(await scaler.seen(), [10, 20])
  t.deepEqual([...(await scaler.make([4], 2)).data], [2, 2, 2, 2])
  await cluster.shutdown()
  head.child.kill('SIGTERM')
  await head.finished
})
