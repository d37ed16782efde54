import { blockOf, bytesOfRows, type DataType } from '../../../data-type.js'
import type { Value } from '../../../trace-operands.js'

/** Weights that are decoded at once. */
export const RUN = 16

/**
 * WGSL of a function `weights(row, run) -> array<f32, 16>`, which decodes weights 16 · run to 16 · run + 15 of a row; past the end they are 0. The
 * weights are the words of the buffer `name`; blocks of quantized types are GGUF's.
 */
export function weightsFunction(name: string, { type, columns }: Value): string {
  const plain = PLAIN[type]
  if (plain) return plainWeights(name, columns, plain)
  const { bytes } = blockOf(type)
  const rowBytes = bytesOfRows(type, 1, columns)
  const decode = BLOCKS[type]
  if (!decode) throw new TypeError(`webgpu multiplies no weights of ${type}`)
  const { elements } = blockOf(type)
  return `
fn byteAt(at: u32) -> u32 { return (${name}[at >> 2u] >> ((at & 3u) * 8u)) & 255u; }
fn wordAt(at: u32) -> u32 { return byteAt(at) | (byteAt(at + 1u) << 8u) | (byteAt(at + 2u) << 16u) | (byteAt(at + 3u) << 24u); }
fn signedAt(at: u32) -> f32 { return f32(i32(byteAt(at) << 24u) >> 24u); }
fn halfAt(at: u32) -> f32 { return unpack2x16float(byteAt(at) | (byteAt(at + 1u) << 8u)).x; }
${decode}
fn weights(row: u32, run: u32) -> array<f32, ${RUN}> {
  if (run >= ${columns / RUN}u) { return array<f32, ${RUN}>(); }
  return decode(row * ${rowBytes}u + run / ${elements / RUN}u * ${bytes}u, run % ${elements / RUN}u);
}`
}

/** How an element of a plain type is read from words, by its number `at`. */
const PLAIN: Partial<Record<DataType, (name: string) => string>> = {
  float32: (name) => `${name}[at]`,
  float16: (name) => `unpack2x16float(${name}[at >> 1u])[at & 1u]`,
  bfloat16: (name) => `bitcast<f32>((${name}[at >> 1u] >> ((at & 1u) * 16u)) << 16u)`,
}

function plainWeights(name: string, columns: number, read: (name: string) => string): string {
  return `
fn weights(row: u32, run: u32) -> array<f32, ${RUN}> {
  var found = array<f32, ${RUN}>();
  let first = run * ${RUN}u;
  for (var i = 0u; i < min(${RUN}u, ${columns}u - min(first, ${columns}u)); i++) {
    let at = row * ${columns}u + first + i;
    found[i] = ${read(name)};
  }
  return found;
}`
}

/** A loop that sets element i of 16. */
function each(body: string): string {
  return `var found = array<f32, ${RUN}>(); for (var i = 0u; i < ${RUN}u; i++) { ${body} } return found;`
}

/** The functions of K-quants' scales: 6 bits each, packed into 12 bytes (GGUF, ggml-quants: Q4_K and Q5_K). */
const SIX_BITS = `
fn scaleOf(at: u32, j: u32) -> u32 {
  if (j < 4u) { return byteAt(at + j) & 63u; }
  return (byteAt(at + j + 4u) & 15u) | ((byteAt(at + j - 4u) >> 6u) << 4u);
}
fn minimumOf(at: u32, j: u32) -> u32 {
  if (j < 4u) { return byteAt(at + j + 4u) & 63u; }
  return (byteAt(at + j + 4u) >> 4u) | ((byteAt(at + j) >> 6u) << 4u);
}`

/** `decode(at, run)`: the 16 weights number 16 · run of the block that begins at a byte. */
const BLOCKS: Partial<Record<DataType, string>> = {
  q8_0: `fn decode(at: u32, run: u32) -> array<f32, ${RUN}> {
  let scale = halfAt(at);
  ${each(`found[i] = scale * signedAt(at + 2u + run * ${RUN}u + i);`)}
}`,
  q4_0: `fn decode(at: u32, run: u32) -> array<f32, ${RUN}> {
  let scale = halfAt(at);
  ${each('found[i] = scale * (f32((byteAt(at + 2u + i) >> (run * 4u)) & 15u) - 8.0);')}
}`,
  q4_1: `fn decode(at: u32, run: u32) -> array<f32, ${RUN}> {
  let scale = halfAt(at);
  let minimum = halfAt(at + 2u);
  ${each('found[i] = scale * f32((byteAt(at + 4u + i) >> (run * 4u)) & 15u) + minimum;')}
}`,
  q5_0: `fn decode(at: u32, run: u32) -> array<f32, ${RUN}> {
  let scale = halfAt(at);
  let high = wordAt(at + 2u) >> (run * ${RUN}u);
  ${each('found[i] = scale * (f32(((byteAt(at + 6u + i) >> (run * 4u)) & 15u) | (((high >> i) & 1u) << 4u)) - 16.0);')}
}`,
  q5_1: `fn decode(at: u32, run: u32) -> array<f32, ${RUN}> {
  let scale = halfAt(at);
  let minimum = halfAt(at + 2u);
  let high = wordAt(at + 4u) >> (run * ${RUN}u);
  ${each('found[i] = scale * f32(((byteAt(at + 8u + i) >> (run * 4u)) & 15u) | (((high >> i) & 1u) << 4u)) + minimum;')}
}`,
  q4_k: `${SIX_BITS}
fn decode(at: u32, run: u32) -> array<f32, ${RUN}> {
  let part = run >> 1u;
  let scale = halfAt(at) * f32(scaleOf(at + 4u, part));
  let minimum = halfAt(at + 2u) * f32(minimumOf(at + 4u, part));
  let start = at + 16u + (part >> 1u) * 32u + (run & 1u) * ${RUN}u;
  ${each('found[i] = scale * f32((byteAt(start + i) >> ((part & 1u) * 4u)) & 15u) - minimum;')}
}`,
  q5_k: `${SIX_BITS}
fn decode(at: u32, run: u32) -> array<f32, ${RUN}> {
  let part = run >> 1u;
  let scale = halfAt(at) * f32(scaleOf(at + 4u, part));
  let minimum = halfAt(at + 2u) * f32(minimumOf(at + 4u, part));
  let within = (run & 1u) * ${RUN}u;
  let start = at + 48u + (part >> 1u) * 32u + within;
  ${each(`let high = (byteAt(at + 16u + within + i) >> part) & 1u;
    found[i] = scale * f32(((byteAt(start + i) >> ((part & 1u) * 4u)) & 15u) | (high << 4u)) - minimum;`)}
}`,
  q6_k: `fn decode(at: u32, run: u32) -> array<f32, ${RUN}> {
  let half = run >> 3u;
  let part = (run & 7u) >> 1u;
  let within = (run & 1u) * ${RUN}u;
  let scale = halfAt(at + 208u) * signedAt(at + 192u + run);
  let low = at + half * 64u + (part & 1u) * 32u + within;
  let high = at + 128u + half * 32u + within;
  ${each(`let bits = ((byteAt(low + i) >> ((part >> 1u) * 4u)) & 15u) | (((byteAt(high + i) >> (part * 2u)) & 3u) << 4u);
    found[i] = scale * (f32(bits) - 32.0);`)}
}`,
}
