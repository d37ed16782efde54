import type { TracedOperation } from '../../../trace-operands.js'
import { elementOf, elementwise, float, type Kernel, rowsIn } from './kernel.js'
import { RUN, weightsFunction } from './weights.js'

/** Rows of a table by token; a token outside of [start, start + rows) gives zeros. */
export function embedding({ inputs, outputs, numbers }: TracedOperation): Kernel {
  const [tokens, table] = inputs
  const [y] = outputs
  const runs = Math.ceil(y!.columns / RUN)
  return elementwise(
    [
      { name: 'tokens', value: tokens!, element: 'i32' },
      { name: 'w', value: table!, element: elementOf(table!) },
      { name: 'y', value: y!, element: 'f32', isWritten: true },
    ],
    tokens!,
    `${weightsFunction('w', table!)}
fn element(i: u32) {
  let row = i / ${runs}u;
  let run = i % ${runs}u;
  let token = tokens[row] - ${numbers.start}i;
  var found = array<f32, ${RUN}>();
  if (token >= 0 && token < ${table!.rows}i) { found = weights(u32(token), run); }
  for (var at = 0u; at < min(${RUN}u, ${y!.columns}u - run * ${RUN}u); at++) { y[row * ${y!.columns}u + run * ${RUN}u + at] = found[at]; }
}`,
    runs,
  )
}

/** x / sqrt(mean(x²) + epsilon) · weight over each run of as many columns as the weight has: a workgroup a run. */
export function rmsNorm({ inputs, outputs, numbers }: TracedOperation): Kernel {
  const [x, weight] = inputs
  const [y] = outputs
  const lanes = 64
  const size = weight!.columns
  return {
    bindings: [
      { name: 'x', value: x!, element: 'f32' },
      { name: 'w', value: weight!, element: 'f32' },
      { name: 'y', value: y!, element: 'f32', isWritten: true },
    ],
    lanes,
    code: `
var<workgroup> sums: array<f32, ${lanes}>;
fn run(group: u32, lane: u32) {
  let first = group * ${size}u;
  if (first >= ${rowsIn(x!)} * ${x!.columns}u) { return; }
  var sum = 0.0;
  for (var i = lane; i < ${size}u; i += ${lanes}u) { sum += x[first + i] * x[first + i]; }
  sums[lane] = sum;
  workgroupBarrier();
  for (var half = ${lanes / 2}u; half > 0u; half >>= 1u) {
    if (lane < half) { sums[lane] += sums[lane + half]; }
    workgroupBarrier();
  }
  let scale = 1.0 / sqrt(sums[0] / ${float(size)} + ${float(numbers.epsilon!)});
  for (var i = lane; i < ${size}u; i += ${lanes}u) { y[first + i] = x[first + i] * scale * w[i]; }
}`,
    groups: (rowsOf) => rowsOf(x!) * (x!.columns / size),
  }
}

/** Two inputs of one shape, element by element. */
function pair({ inputs, outputs }: TracedOperation, expression: string): Kernel {
  const [a, b] = inputs
  return elementwise(
    [
      { name: 'a', value: a!, element: 'f32' },
      { name: 'b', value: b!, element: 'f32' },
      { name: 'y', value: outputs[0]!, element: 'f32', isWritten: true },
    ],
    a!,
    `fn element(i: u32) { ${expression} }`,
  )
}

/** a + b. */
export function add(operation: TracedOperation): Kernel {
  return pair(operation, 'y[i] = a[i] + b[i];')
}

/** silu(gate) · up. */
export function siluMultiply(operation: TracedOperation): Kernel {
  return pair(operation, 'y[i] = a[i] / (1.0 + exp(-a[i])) * b[i];')
}

/** Turns the halves of each head against each other by their row of a rotary table. */
export function rotate({ inputs, outputs }: TracedOperation): Kernel {
  const [x, table] = inputs
  const [columns, size] = [x!.columns, table!.columns]
  const half = size / 2
  return elementwise(
    [
      { name: 'x', value: x!, element: 'f32' },
      { name: 'table', value: table!, element: 'f32' },
      { name: 'y', value: outputs[0]!, element: 'f32', isWritten: true },
    ],
    x!,
    `fn element(i: u32) {
  let row = i / ${columns / 2}u;
  let head = i % ${columns / 2}u / ${half}u;
  let at = i % ${half}u;
  let first = row * ${columns}u + head * ${size}u + at;
  let cosine = table[row * ${size}u + at];
  let sine = table[row * ${size}u + ${half}u + at];
  let low = x[first];
  let high = x[first + ${half}u];
  y[first] = low * cosine - high * sine;
  y[first + ${half}u] = high * cosine + low * sine;
}`,
    columns / 2,
  )
}

/** Rows by index. */
export function gatherRows({ inputs, outputs }: TracedOperation): Kernel {
  const [x, indices] = inputs
  const { columns } = x!
  return elementwise(
    [
      { name: 'x', value: x!, element: elementOf(x!) },
      { name: 'indices', value: indices!, element: 'i32' },
      { name: 'y', value: outputs[0]!, element: elementOf(x!), isWritten: true },
    ],
    indices!,
    `fn element(i: u32) { y[i] = x[u32(indices[i / ${columns}u]) * ${columns}u + i % ${columns}u]; }`,
    columns,
  )
}

/** table[indices[i]] = x[i], for the indices that are not negative; where some are equal, the last. */
export function scatterRows({ inputs }: TracedOperation): Kernel {
  const [x, indices, table] = inputs
  const { columns } = x!
  return elementwise(
    [
      { name: 'x', value: x!, element: elementOf(x!) },
      { name: 'indices', value: indices!, element: 'i32' },
      { name: 'table', value: table!, element: elementOf(x!), isWritten: true },
    ],
    x!,
    `fn element(i: u32) {
  let row = indices[i / ${columns}u];
  if (row < 0) { return; }
  for (var later = i / ${columns}u + 1u; later < ${rowsIn(x!)}; later++) { if (indices[later] == row) { return; } }
  table[u32(row) * ${columns}u + i % ${columns}u] = x[i];
}`,
  )
}

/** Indices as they are, but for negative ones, for which -1 - index is looked up in the table. */
export function resolve({ inputs, outputs }: TracedOperation): Kernel {
  const [indices, table] = inputs
  return elementwise(
    [
      { name: 'indices', value: indices!, element: 'i32' },
      { name: 'table', value: table!, element: 'i32' },
      { name: 'y', value: outputs[0]!, element: 'i32', isWritten: true },
    ],
    indices!,
    `fn element(i: u32) { if (indices[i] >= 0) { y[i] = indices[i]; } else { y[i] = table[-1 - indices[i]]; } }`,
  )
}
