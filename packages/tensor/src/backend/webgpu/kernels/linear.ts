import type { TracedOperation } from '../../../trace-operands.js'
import { elementOf, type Kernel, rowsIn } from './kernel.js'
import { RUN, weightsFunction } from './weights.js'

/** Up to so many rows, a workgroup computes one column of all of them, and reads each weight once. */
const FEW_ROWS = 8
/** Rows and columns of the tile that a workgroup computes of many rows. */
const TILE = 32
/** Of a tile, those that one lane computes. */
const OWN = 4

/** x · weightᵀ + bias, [n, in] · [out, in] → [n, out], in one form for few rows and in another for many. */
export function linear(operation: TracedOperation): Kernel[] {
  return [fewRows(operation), manyRows(operation)]
}

function bindingsOf({ inputs: [x, weight, bias], outputs: [y] }: TracedOperation): Kernel['bindings'] {
  return [
    { name: 'x', value: x!, element: 'f32' },
    { name: 'w', value: weight!, element: elementOf(weight!) },
    ...(bias ? [{ name: 'bias', value: bias, element: 'f32' as const }] : []),
    { name: 'y', value: y!, element: 'f32', isWritten: true },
  ]
}

/** Lanes of a workgroup, and those of them that compute one column. */
const LANES = 64
const ACROSS = 16

/** Lanes divide the weights of a column among them, and join their sums by halves. */
function fewRows(operation: TracedOperation): Kernel {
  const { inputs, outputs } = operation
  const [x, weight, bias] = inputs
  const [y] = outputs
  const columns = LANES / ACROSS
  return {
    bindings: bindingsOf(operation),
    lanes: LANES,
    code: `${weightsFunction('w', weight!)}
var<workgroup> sums: array<f32, ${LANES * FEW_ROWS}>;
fn run(group: u32, lane: u32) {
  let rows = min(${rowsIn(x!)}, ${FEW_ROWS}u);
  let column = group * ${columns}u + lane / ${ACROSS}u;
  let across = lane % ${ACROSS}u;
  var own = array<f32, ${FEW_ROWS}>();
  if (column < ${y!.columns}u) {
    for (var run = across; run < ${Math.ceil(weight!.columns / RUN)}u; run += ${ACROSS}u) {
      let decoded = weights(column, run);
      let first = run * ${RUN}u;
      let count = min(${RUN}u, ${weight!.columns}u - first);
      for (var row = 0u; row < rows; row++) {
        var sum = 0.0;
        for (var i = 0u; i < count; i++) { sum += x[row * ${x!.columns}u + first + i] * decoded[i]; }
        own[row] += sum;
      }
    }
  }
  for (var row = 0u; row < rows; row++) { sums[row * ${LANES}u + lane] = own[row]; }
  workgroupBarrier();
  for (var half = ${ACROSS / 2}u; half > 0u; half >>= 1u) {
    if (across < half) {
      for (var row = 0u; row < rows; row++) { sums[row * ${LANES}u + lane] += sums[row * ${LANES}u + lane + half]; }
    }
    workgroupBarrier();
  }
  if (across < rows && column < ${y!.columns}u) {
    y[across * ${y!.columns}u + column] = sums[across * ${LANES}u + lane - across]${bias ? ' + bias[column]' : ''};
  }
}`,
    groups: (rowsOf) => (rowsOf(x!) > 0 && rowsOf(x!) <= FEW_ROWS ? Math.ceil(y!.columns / columns) : 0),
  }
}

/** A tile of the result, from tiles of x and of decoded weights in workgroup memory, 32 inputs at a time. */
function manyRows(operation: TracedOperation): Kernel {
  const { inputs, outputs } = operation
  const [x, weight, bias] = inputs
  const [y] = outputs
  const lanes = (TILE / OWN) ** 2
  const across = Math.ceil(y!.columns / TILE)
  const inputsEach = 2 * RUN
  const stride = inputsEach + 1
  return {
    bindings: bindingsOf(operation),
    lanes,
    code: `${weightsFunction('w', weight!)}
var<workgroup> left: array<f32, ${TILE * stride}>;
var<workgroup> right: array<f32, ${TILE * stride}>;
fn run(tile: u32, lane: u32) {
  let rows = ${rowsIn(x!)};
  let firstRow = tile / ${across}u * ${TILE}u;
  let firstColumn = tile % ${across}u * ${TILE}u;
  var sums = array<f32, ${OWN * OWN}>();
  for (var first = 0u; first < ${x!.columns}u; first += ${inputsEach}u) {
    for (var i = lane; i < ${TILE * inputsEach}u; i += ${lanes}u) {
      let row = firstRow + i / ${inputsEach}u;
      let column = first + i % ${inputsEach}u;
      var value = 0.0;
      if (row < rows && column < ${x!.columns}u) { value = x[row * ${x!.columns}u + column]; }
      left[i / ${inputsEach}u * ${stride}u + i % ${inputsEach}u] = value;
    }
    for (var i = lane; i < ${TILE * 2}u; i += ${lanes}u) {
      var decoded = array<f32, ${RUN}>();
      if (firstColumn + (i >> 1u) < ${y!.columns}u) { decoded = weights(firstColumn + (i >> 1u), first / ${RUN}u + (i & 1u)); }
      for (var at = 0u; at < ${RUN}u; at++) { right[(i >> 1u) * ${stride}u + (i & 1u) * ${RUN}u + at] = decoded[at]; }
    }
    workgroupBarrier();
    let ownRow = lane / ${TILE / OWN}u * ${OWN}u;
    let ownColumn = lane % ${TILE / OWN}u * ${OWN}u;
    for (var at = 0u; at < ${inputsEach}u; at++) {
      for (var row = 0u; row < ${OWN}u; row++) {
        let value = left[(ownRow + row) * ${stride}u + at];
        for (var column = 0u; column < ${OWN}u; column++) {
          sums[row * ${OWN}u + column] += value * right[(ownColumn + column) * ${stride}u + at];
        }
      }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < ${OWN * OWN}u; i++) {
    let row = firstRow + lane / ${TILE / OWN}u * ${OWN}u + i / ${OWN}u;
    let column = firstColumn + lane % ${TILE / OWN}u * ${OWN}u + i % ${OWN}u;
    if (row < rows && column < ${y!.columns}u) { y[row * ${y!.columns}u + column] = sums[i]${bias ? ' + bias[column]' : ''}; }
  }
}`,
    groups: (rowsOf) => (rowsOf(x!) > FEW_ROWS ? Math.ceil(rowsOf(x!) / TILE) * across : 0),
  }
}
