// What users see of GPUs, with the test double of NCCL and of the CUDA driver in the place of the real libraries.
import { type Cluster, communicator, connect } from '@troupe/core'
import { countGpus, Tensor, Trace } from '@troupe/tensor'
import test, { type ExecutionContext } from 'ava'
import { gpuDouble, realNccl } from './support/gpu-libraries.js'
import { RemoteMember } from './support/member.js'
import { ProcessGuard, root } from './support/processes.js'

test.before(() => {
  process.env.TROUPE_CUDA = 'no-such-driver.so'
  process.env.CUDA_VISIBLE_DEVICES = '2,0,5'
})

test.serial('without a driver a tensor on a GPU is refused with what to do', (t) => {
  t.is(countGpus(), 0)
  t.throws(() => Tensor.zeros('float32', [1], { device: 'cuda' }), {
    message: /need NVIDIA's driver: cannot open no-such-driver\.so .*TROUPE_CUDA/,
  })
  process.env.TROUPE_CUDA = gpuDouble()
  process.env.TROUPE_NCCL = gpuDouble()
})

test.serial('tensors on GPUs are made and copied both ways, and are not read in place', async (t) => {
  t.is(countGpus(), 3)
  const host = Tensor.from('float32', [3, 2], [1, 2, 3, 4, 5, 6])
  const onGpu = await host.to('cuda:1')
  t.is(onGpu.device, 'cuda:1')
  host.data.fill(0)
  t.deepEqual([...(await onGpu.to('cpu')).data], [1, 2, 3, 4, 5, 6])
  t.is(await onGpu.to('cuda:1'), onGpu)
  await onGpu.rows(1, 2).copyFrom(Tensor.from('float32', [2], [30, 40]))
  const other = await onGpu.reshape([2, 3]).to('cuda')
  t.is(other.device, 'cuda:0')
  t.deepEqual([...(await other.rows(0, 1).to('cpu')).data], [1, 2, 30])
  t.deepEqual([...(await Tensor.zeros('int64', [2], { device: 'cuda' }).to('cpu')).data], [0n, 0n])
  t.is((await Tensor.zeros('int8', [0], { device: 'cuda' }).to('cpu')).size, 0)

  t.throws(() => onGpu.data, { message: /cannot be read or written in place; copy it/ })
  t.throws(() => Tensor.zeros('float32', [1], { device: 'cuda:3' }), {
    message: /no cuda:3; this process may use 3 GPUs \(CUDA_VISIBLE_DEVICES=2,0,5\)/,
  })
  t.throws(() => Tensor.zeros('float32', [1], { device: 'gpu' as 'cuda' }), { instanceOf: RangeError })
  const trace = new Trace()
  const sum = trace.add(trace.constant(onGpu), trace.constant(other.reshape([3, 2])))
  t.throws(() => trace.compile({ sum }, { threads: 1 }), {
    message: /a program of cuda:1: found a constant on cuda:0: copy it/,
  })
  await t.throwsAsync(onGpu.copyFrom(Tensor.zeros('int32', [6])), { message: /found a int32 tensor/ })
})

test.serial('actors that were given a GPU each reduce, send and split over NCCL', async (t) => {
  await withCluster(t, async () => {
    const members = await Promise.all([0, 1, 2].map(() => RemoteMember.options({ resources: { gpu: 1 } }).spawn()))
    const gpus = await Promise.all(members.map((member) => member.gpus()))
    t.deepEqual(
      gpus.map(({ visible }) => visible).sort(),
      ['0', '2', '5'],
      'of those that this machine was said to have',
    )
    t.true(gpus.every(({ count, nccl }) => count === 1 && nccl === '2.21.5'))

    const first = communicator(members)
    await Promise.all(members.map((member) => member.join(first)))
    const averages = await Promise.all(members.map((member, rank) => member.reduce(rank, 'cuda', 'average')))
    t.deepEqual(averages, Array(3).fill([1, 2]), 'NCCL is met at the first operation')

    const onGpu = Tensor.zeros('float32', [1], { device: 'cuda' })
    await t.throwsAsync(async () => members[0]!.reduce(onGpu as never), { message: /tensor on cuda:0 cannot be sent/ })

    const second = communicator(members)
    await Promise.all(members.map((member) => member.join(second, 'cuda')))
    t.deepEqual(await Promise.all(members.map((member) => member.ringAndSplit())), [
      [2, 2, 2, 0, 1],
      [0, 1, 2, 0, 1],
      [1, 2, 2, 0, 1],
    ])
    await t.throwsAsync(async () => members[0]!.reduce(1, 'cuda'), { message: /group 'group' was closed/ })
  })
})

test.serial('a rank whose tensor is in host memory while the others hold theirs on GPUs is named', async (t) => {
  await withCluster(t, async () => {
    const members = await Promise.all([0, 1].map(() => RemoteMember.options({ resources: { gpu: 1 } }).spawn()))
    const group = communicator(members)
    await Promise.all(members.map((member) => member.join(group)))
    const devices = ['cuda', 'cpu'] as const
    const failures = await Promise.all(
      members.map((member, rank) => t.throwsAsync(async () => member.reduce(1, devices[rank]))),
    )
    const said = failures.map((failure) => failure!.message).join('\n')
    t.regex(said, /rank Member#2 holds the tensor of its all-reduce \(sum\) of 2 float32 in host memory/)
    t.regex(said, /rank Member#1 holds the tensor of its all-reduce \(sum\) of 2 float32 on a GPU/)
  })
})

const nccl = realNccl()
if (nccl) {
  test.serial('the real NCCL is opened, gives unique ids, and says clearly that there is no device', async (t) => {
    const guard = new ProcessGuard(t)
    const probe = `${root}test/dist/support/nccl-probe.js`
    const end = await guard.run(process.execPath, [probe], { TROUPE_NCCL: nccl }).finished
    t.is(end.status, 0, end.stderr)
    const { version, idBytes, differ, failure } = JSON.parse(end.stdout)
    t.regex(version, /^2\.\d+\.\d+$/)
    t.is(idBytes, 128)
    t.true(differ)
    // The driver is the test double's, which the real NCCL does not use.
    t.regex(failure, /^group 'probe', rank 0: .*NCCL 2\.\d+\.\d+: unhandled cuda error/)
  })
}

async function withCluster(t: ExecutionContext, body: (cluster: Cluster) => Promise<void>): Promise<void> {
  new ProcessGuard(t)
  const cluster = await connect()
  try {
    await body(cluster)
  } finally {
    await cluster.shutdown()
  }
}
