import type { TracedOperation, Value } from '../../../trace-operands.js'
import { placeFunctions, readFunction, sizesOf } from './cache.js'
import { elementOf, float, type Kernel, rowsIn } from './kernel.js'

/** Lanes of a workgroup, each with one token of a chunk, then with some elements of the result. */
const LANES = 64
/** Of a query that sees no token: the logarithm of a sum of nothing, as far as floats go. */
const NOTHING = '-3.0e38'
/**
 * Minus infinity would pass for a token that is not seen, and maxima may drop NaN: both are to make the sum NaN. By bits, as shaders may be
 * compiled as if all floats were finite.
 */
const FINITE_OR_NAN = `fn finiteOrNaN(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7f800000u) != 0x7f800000u) { return x; }
  return bitcast<f32>(bits | 0x7fc00000u);
}`

/**
 * Softmax attention of each query and head over cached tokens, a workgroup each, with the softmax computed online, chunk by chunk
 * (Milakov and Gimelshein, arXiv 1805.02867). A partial one has the logarithm of each head's sum behind a row.
 */
export function attention(operation: TracedOperation): Kernel {
  const { inputs, outputs, numbers, name } = operation
  const [query, keys, values, sequence, begin, end, blockTables, keyHeadOf] = inputs as Value[]
  const [y] = outputs
  const sizes = sizesOf(operation, keys!)
  const { keyHeads, headSize, blockTokens } = sizes
  const heads = query!.columns / headSize
  const own = Math.ceil(headSize / LANES)
  const isPartial = name === 'partialAttention'
  return {
    bindings: [
      { name: 'query', value: query!, element: 'f32' },
      { name: 'keys', value: keys!, element: elementOf(keys!) },
      { name: 'values', value: values!, element: elementOf(values!) },
      { name: 'sequence', value: sequence!, element: 'i32' },
      { name: 'begin', value: begin!, element: 'i32' },
      { name: 'end', value: end!, element: 'i32' },
      { name: 'blockTables', value: blockTables!, element: 'i32' },
      { name: 'keyHeadOf', value: keyHeadOf!, element: 'i32' },
      { name: 'y', value: y!, element: 'f32', isWritten: true },
    ],
    lanes: LANES,
    code: `${placeFunctions(sizes)}
${readFunction('keys', sizes)}
${readFunction('values', sizes)}
${FINITE_OR_NAN}
var<workgroup> span: vec2<u32>;
var<workgroup> own: array<f32, ${headSize}>;
var<workgroup> scores: array<f32, ${LANES}>;
var<workgroup> pieces: array<u32, ${LANES}>;
fn run(group: u32, lane: u32) {
  let at = group / ${heads}u;
  let head = group % ${heads}u;
  if (at >= ${rowsIn(query!)}) { return; }
  if (lane == 0u) { span = vec2<u32>(u32(begin[at]), u32(end[at])); }
  for (var i = lane; i < ${headSize}u; i += ${LANES}u) { own[i] = query[at * ${query!.columns}u + head * ${headSize}u + i]; }
  let seen = workgroupUniformLoad(&span);
  let table = u32(sequence[at]) * ${blockTables!.columns}u;
  let keyHead = u32(keyHeadOf[head]);
  var largest = ${NOTHING};
  var total = 0.0;
  var sums = array<f32, ${own}>();
  for (var first = seen.x; first < seen.y; first += ${LANES}u) {
    let count = min(${LANES}u, seen.y - first);
    var score = ${NOTHING};
    if (lane < count) {
      let token = first + lane;
      let piece = u32(blockTables[table + token / ${blockTokens}u]) * ${keyHeads}u + keyHead;
      pieces[lane] = piece;
      score = 0.0;
      for (var i = 0u; i < ${headSize}u; i++) {
        score += own[i] * keysElement(piece, token % ${blockTokens}u, keyPlace(token % ${blockTokens}u, i));
      }
      score = finiteOrNaN(score * ${float(numbers.scale!)});
    }
    scores[lane] = score;
    workgroupBarrier();
    var most = largest;
    for (var i = 0u; i < count; i++) { most = max(most, scores[i]); }
    workgroupBarrier();
    let power = exp(score - most);
    scores[lane] = power;
    workgroupBarrier();
    let kept = exp(largest - most);
    total *= kept;
    for (var i = 0u; i < count; i++) { total += scores[i]; }
    for (var part = 0u; part < ${own}u; part++) {
      let element = part * ${LANES}u + lane;
      if (element >= ${headSize}u) { break; }
      var sum = sums[part] * kept;
      for (var i = 0u; i < count; i++) {
        let token = (first + i) % ${blockTokens}u;
        sum += scores[i] * valuesElement(pieces[i], token, valuePlace(token, element));
      }
      sums[part] = sum;
    }
    largest = most;
    workgroupBarrier();
  }
  for (var part = 0u; part < ${own}u; part++) {
    let element = part * ${LANES}u + lane;
    if (element >= ${headSize}u) { break; }
    var result = 0.0;
    if (seen.x < seen.y) { result = sums[part] / total; }
    y[at * ${y!.columns}u + head * ${headSize}u + element] = result;
  }
  ${isPartial ? partialSum(y!, heads, headSize) : ''}
}`,
    groups: (rowsOf) => rowsOf(query!) * heads,
  }
}

function partialSum(y: Value, heads: number, headSize: number): string {
  return `if (lane == 0u) {
    var logarithm = ${NOTHING};
    if (seen.x < seen.y) { logarithm = largest + log(total); }
    y[at * ${y.columns}u + ${heads * headSize}u + head] = logarithm;
  }`
}

/**
 * Joins partial attention of several ranks, side by side in each row, by their logarithms of sums: [queries, ranks · (heads · (d + 1))],
 * counts [ranks] → the rows of this rank's own queries, [tokens, heads · d].
 */
export function joinAttention({ inputs, outputs, numbers }: TracedOperation): Kernel {
  const [partials, counts] = inputs
  const [y] = outputs
  const { ranks, rank, headSize } = numbers as { ranks: number; rank: number; headSize: number }
  const width = y!.columns
  const each = partials!.columns / ranks
  const lanes = 64
  return {
    bindings: [
      { name: 'partials', value: partials!, element: 'f32' },
      { name: 'counts', value: counts!, element: 'i32' },
      { name: 'y', value: y!, element: 'f32', isWritten: true },
    ],
    lanes,
    code: `fn run(group: u32, lane: u32) {
  let i = group * ${lanes}u + lane;
  if (i >= ${rowsIn(y!)} * ${width}u) { return; }
  var row = i / ${width}u;
  for (var before = 0u; before < ${rank}u; before++) { row += u32(counts[before]); }
  let element = i % ${width}u;
  let sumAt = row * ${partials!.columns}u + ${width}u + element / ${headSize}u;
  var largest = ${NOTHING};
  for (var r = 0u; r < ${ranks}u; r++) { largest = max(largest, partials[sumAt + r * ${each}u]); }
  var total = 0.0;
  var sum = 0.0;
  for (var r = 0u; r < ${ranks}u; r++) {
    let weight = exp(partials[sumAt + r * ${each}u] - largest);
    total += weight;
    sum += weight * partials[row * ${partials!.columns}u + r * ${each}u + element];
  }
  y[i] = sum / total;
}`,
    groups: (rowsOf) => Math.ceil((rowsOf(y!) * width) / lanes),
  }
}
