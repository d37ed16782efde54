import test from 'ava'
import { placeMesh } from './placement.js'

const nodes = [
  { id: 'a', actors: 2 },
  { id: 'b', actors: 1 },
  { id: 'c', actors: 1 },
]
const idsOf = (places: { id: string }[]) => places.map(({ id }) => id).join('')

test('a mesh is cut into even, contiguous blocks that keep the fastest dimension on one node', (t) => {
  const [a, b] = nodes as [(typeof nodes)[0], (typeof nodes)[0]]
  t.is(idsOf(placeMesh([a, b], { pipeline: 2, tensor: 2 })), 'aabb')
  t.is(idsOf(placeMesh([a, b], { pipeline: 3, tensor: 2 })), 'aaaabb')
  t.is(idsOf(placeMesh(nodes, { pipeline: 3, tensor: 2 })), 'aabbcc')
  t.is(idsOf(placeMesh([a, b], { pipeline: 2, tensor: 2, sequence: 1 })), 'aabb')
})

test('a mesh with fewer rows than nodes is spread by member', (t) => {
  const [a, b] = nodes as [(typeof nodes)[0], (typeof nodes)[0]]
  t.is(idsOf(placeMesh([a, b], { tensor: 4 })), 'aabb')
  t.is(idsOf(placeMesh(nodes, { pipeline: 2, tensor: 3 })), 'aabbcc')
  t.is(idsOf(placeMesh([a, b], { only: 1 })), 'a')
})
