import { connect, type ObjectRef, put } from '@troupe/core'

// node spill-program.js COUNT BYTES: puts so many arrays, gets each again, and prints how many had what was put.
const [count, bytes] = process.argv.slice(2).map(Number) as [number, number]

await using _cluster = await connect()
const refs: ObjectRef<Uint8Array>[] = []
for (let index = 0; index < count; index++) refs.push(put(new Uint8Array(bytes).fill(index)))
let right = 0
for (const [index, ref] of refs.entries()) {
  const found = await ref
  if (found.length === bytes && found[0] === index && found[bytes - 1] === index) right += 1
}
console.log(right)
