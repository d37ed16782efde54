import { type CacheType, cacheBytes, type DataType } from '../../../data-type.js'
import type { TracedOperation, Value } from '../../../trace-operands.js'
import { type Kernel, rowsIn } from './kernel.js'

/** The sizes of a KV cache, of which native/src/kernel/kv_cache.inl says how it lies in memory. */
export interface CacheSizes {
  type: DataType
  keyHeads: number
  headSize: number
  blockTokens: number
}

/** The sizes that an operation gives a cache. */
export function sizesOf({ numbers }: TracedOperation, { type }: Value): CacheSizes {
  const { keyHeads, headSize, blockTokens } = numbers as Record<string, number>
  return { type, keyHeads: keyHeads!, headSize: headSize!, blockTokens: blockTokens! }
}

/** WGSL of the byte at which the piece of a block's head begins, and of the number of an element in it. */
export function placeFunctions({ type, headSize, blockTokens }: CacheSizes): string {
  const scales = type === 'int8' ? 4 * blockTokens : 0
  return `
fn pieceAt(index: u32) -> u32 { return index * ${blockTokens * cacheBytes(type as CacheType, headSize)}u; }
fn elementsAt(index: u32) -> u32 { return pieceAt(index) + ${scales}u; }
fn keyPlace(token: u32, at: u32) -> u32 { return at * ${blockTokens}u + token; }
fn valuePlace(token: u32, at: u32) -> u32 { return token * ${headSize}u + at; }`
}

/**
 * WGSL of `NAMEElement(piece, token, place) -> f32`, which reads an element of a token by its place in a piece of the cache in the
 * buffer `name`.
 */
export function readFunction(name: string, { type }: CacheSizes): string {
  const head = `fn ${name}Element(piece: u32, token: u32, place: u32) -> f32 {`
  switch (type) {
    case 'float32':
      return `${head} return ${name}[(elementsAt(piece) >> 2u) + place]; }`
    case 'float16':
      return `${head} let at = (elementsAt(piece) >> 1u) + place; return unpack2x16float(${name}[at >> 1u])[at & 1u]; }`
    case 'bfloat16':
      return `${head} let at = (elementsAt(piece) >> 1u) + place; return bitcast<f32>((${name}[at >> 1u] >> ((at & 1u) * 16u)) << 16u); }`
    case 'int8':
      return `
fn ${name}Byte(at: u32) -> u32 { return (${name}[at >> 2u] >> ((at & 3u) * 8u)) & 255u; }
fn ${name}Scale(at: u32) -> f32 {
  return bitcast<f32>(${name}Byte(at) | (${name}Byte(at + 1u) << 8u) | (${name}Byte(at + 2u) << 16u) | (${name}Byte(at + 3u) << 24u));
}
${head} return ${name}Scale(pieceAt(piece) + 4u * token) * f32(i32(${name}Byte(elementsAt(piece) + place) << 24u) >> 24u); }`
    default:
      throw new TypeError(`webgpu keeps no caches of ${type}`)
  }
}

/** Writes each row's heads, rounded to the cache's type, at the token slot that `slots` names: an invocation a head of a row. */
export function cacheStore(operation: TracedOperation): Kernel {
  const { inputs, numbers } = operation
  const [x, slots, cache] = inputs
  const sizes = sizesOf(operation, cache!)
  const { type, keyHeads, headSize, blockTokens } = sizes
  const lanes = 64
  const place = numbers.areKeys ? 'keyPlace' : 'valuePlace'
  return {
    bindings: [
      { name: 'x', value: x!, element: 'f32' },
      { name: 'slots', value: slots!, element: 'i32' },
      { name: 'cache', value: cache!, element: type === 'float32' ? 'f32' : 'atomic<u32>', isWritten: true },
    ],
    lanes,
    code: `${placeFunctions(sizes)}
${writeFunctions(type)}
fn run(group: u32, lane: u32) {
  let i = group * ${lanes}u + lane;
  if (i >= ${rowsIn(x!)} * ${keyHeads}u) { return; }
  let slot = u32(slots[i / ${keyHeads}u]);
  let piece = slot / ${blockTokens}u * ${keyHeads}u + i % ${keyHeads}u;
  let token = slot % ${blockTokens}u;
  let first = i * ${headSize}u;
  ${type === 'int8' ? int8Scale(headSize) : ''}
  for (var at = 0u; at < ${headSize}u; at++) { write(elementsAt(piece), ${place}(token, at), x[first + at]${type === 'int8' ? ' * factor' : ''}); }
}`,
    groups: (rowsOf) => Math.ceil((rowsOf(x!) * keyHeads) / lanes),
  }
}

// Bits of elements that others write beside theirs are changed one by one: no other invocation has the same ones.
const PUT_BITS = `
fn putBits(word: u32, shift: u32, mask: u32, bits: u32) {
  atomicAnd(&cache[word], ~(mask << shift));
  atomicOr(&cache[word], bits << shift);
}`

/** WGSL of `write(base, place, value)`, where `base` is the byte that elements begin at. */
function writeFunctions(type: DataType): string {
  const put = (bits: string) => `${PUT_BITS}
fn write(base: u32, place: u32, value: f32) {
  let at = (base >> 1u) + place;
  putBits(at >> 1u, (at & 1u) * 16u, 65535u, ${bits});
}`
  switch (type) {
    case 'float32':
      return 'fn write(base: u32, place: u32, value: f32) { cache[(base >> 2u) + place] = value; }'
    case 'float16':
      return put('pack2x16float(vec2<f32>(value, 0.0)) & 65535u')
    case 'bfloat16':
      return `fn rounded(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 64u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}${put('rounded(value)')}`
    default:
      return `${PUT_BITS}
fn putByte(at: u32, bits: u32) { putBits(at >> 2u, (at & 3u) * 8u, 255u, bits & 255u); }
fn write(base: u32, place: u32, value: f32) { putByte(base + place, bitcast<u32>(i32(round(clamp(value, -127.0, 127.0))))); }`
  }
}

/** The scale by which the largest number of a row becomes 127; rows with NaN or infinity have none, which makes all of it NaN. */
function int8Scale(headSize: number): string {
  return `var most = 0u;
  for (var at = 0u; at < ${headSize}u; at++) { most = max(most, bitcast<u32>(x[first + at]) & 0x7fffffffu); }
  var scale = bitcast<u32>(bitcast<f32>(most) / 127.0);
  var factor = 0.0;
  if (most > 0x7f7fffffu) { scale = 0x7fc00000u; } else if (bitcast<f32>(scale) > 1e-36) { factor = 1.0 / bitcast<f32>(scale); }
  for (var byte = 0u; byte < 4u; byte++) { putByte(pieceAt(piece) + 4u * token + byte, scale >> (8u * byte)); }`
}
