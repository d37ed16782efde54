import { InvalidInputError } from '@troupe/core'
import test from 'ava'
import { grandTeton, llama405B } from '../testing/context-parallelism-paper.js'
import { checkFormats, clusterFile, parseCluster } from './cluster-file.js'

const link = { latencyUs: 5, bandwidthGBps: 300 }
const node = { devices: 8, memoryGB: 80, bandwidthGBps: 2700, formats: { bf16: { tflops: 600 } }, link }

test('a cluster file is read in the units that its fields name', (t) => {
  const cluster = parseCluster('c.json', { nodes: [{ ...node, count: 2 }], link: { latencyUs: 20, bandwidthGBps: 40 } })
  const [group] = cluster.nodes
  t.is(group!.device.memory, 80e9)
  t.deepEqual(group!.device.formats, { bf16: { flops: 600e12, bandwidth: 2.7e12 } })
  t.deepEqual(group!.device.attention, { flops: 600e12, bandwidth: 2.7e12 })
  t.deepEqual(cluster.link, { latency: 20e-6, bandwidth: 40e9 })
})

test('a cluster that is written to a file and read again is the same', (t) => {
  const cluster = grandTeton(4)
  const again = parseCluster('c.json', JSON.parse(JSON.stringify(clusterFile(cluster))))
  t.is(again.nodes[0]!.count, 4)
  const close = (a: number, b: number) => t.true(Math.abs(a / b - 1) < 1e-9)
  close(again.nodes[0]!.device.operation, cluster.nodes[0]!.device.operation)
  close(again.link.latency, cluster.link.latency)
  close(again.dispatch, cluster.dispatch)
})

test('a wrong field of a cluster file is named in one line', (t) => {
  const refused: [unknown, RegExp][] = [
    [{}, /^c\.json: nodes: /],
    [{ nodes: [] }, /^c\.json: nodes: /],
    [{ nodes: [{ ...node, memoryGB: '80' }] }, /^c\.json: nodes\[0\]\.memoryGB: .*number/],
    [{ nodes: [{ ...node, devices: 0 }] }, /^c\.json: nodes\[0\]\.devices: /],
    [{ nodes: [{ ...node, speed: 1 }] }, /^c\.json: nodes\[0\]: .*"speed"/],
    [{ nodes: [{ ...node, formats: {} }] }, /^c\.json: nodes\[0\]\.formats: names no format/],
    [{ nodes: [{ ...node, formats: { f16: { tflops: -1 } } }] }, /^c\.json: nodes\[0\]\.formats\.f16\.tflops: /],
    [{ nodes: [{ ...node, link: undefined }] }, /^c\.json: nodes\[0\]\.link: is missing/],
    [{ nodes: [{ ...node, count: 2 }] }, /^c\.json: link: is missing/],
    ['text', /^c\.json: the file: /],
  ]
  for (const [file, message] of refused) {
    const error = t.throws(() => parseCluster('c.json', file), { instanceOf: InvalidInputError, message })
    t.false(error!.message.includes('\n'))
  }
})

test('a cluster that says nothing about the format of the weights is refused', (t) => {
  t.throws(() => checkFormats(parseCluster('c.json', { nodes: [node] }), llama405B, 'c.json'), {
    message: 'c.json: nodes[0].formats: lacks fp8, which weights of the model are in; it has bf16',
  })
})
