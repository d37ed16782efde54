import test from 'ava'
import { allGather, allReduce, type Links } from './communication.js'

const links: Links = { inside: { latency: 1, bandwidth: 100 }, between: { latency: 10, bandwidth: 10 } }

test('an all-reduce within a node takes the cheaper of doubling and scattering', (t) => {
  // Small: two rounds of latency and bytes. Large: four latencies, and three quarters of the bytes twice.
  t.is(allReduce(1, { nodes: 1, perNode: 4 }, links), 2 * (1 + 0.01))
  t.is(allReduce(10_000, { nodes: 1, perNode: 4 }, links), 4 + (2 * 0.75 * 10_000) / 100)
})

test('an all-reduce over nodes sends each rank a part between them, and all parts share what a node sends', (t) => {
  const span = { nodes: 2, perNode: 4 }
  const inside = 2 * (2 + (0.75 * 10_000) / 100)
  t.is(allReduce(10_000, span, links), inside + 10 + 2500 / 10)
  const shared = { ...links, between: { ...links.between, nodeBandwidth: 20 } }
  t.is(allReduce(10_000, span, shared), inside + 10 + 2500 / 5)
})

test('a group of one exchanges nothing', (t) => {
  t.is(allReduce(1000, { nodes: 1, perNode: 1 }, links), 0)
  t.is(allGather(1000, { nodes: 1, perNode: 1 }, links), 0)
})
