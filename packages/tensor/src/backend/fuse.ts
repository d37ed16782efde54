import { isDeepStrictEqual } from 'node:util'
import type { TracedOperation, Value } from '../trace.js'

/** A weight and its bias. */
interface Matrix {
  weight: Value
  bias?: Value
}

/** One result of a fused product: x · matrix, plus a residual; or silu(x · matrix) · (x · up). */
interface Product {
  matrix: Matrix
  up?: Matrix
  residual?: Value
  output: Value
}

/** Products that read the same x. */
interface FusedLinear {
  x: Value
  products: Product[]
}

type Step = TracedOperation | FusedLinear

/**
 * Joins traced operations where that saves a pass over memory or a meeting of the threads: the gate and up products of a
 * feed-forward layer with the activation between them, a sum with the product that gives one of its terms, and all products
 * of one x, which is then prepared once. Heeds the operations that write between: every product is of the elements that its
 * operands had where it was traced.
 * @param kept Values that must exist after a run.
 */
export function fuse(operations: readonly TracedOperation[], kept: ReadonlySet<Value>): TracedOperation[] {
  const uses = new Map<Value, number>()
  for (const value of [...operations.flatMap(({ inputs }) => inputs), ...kept]) {
    uses.set(value, (uses.get(value) ?? 0) + 1)
  }
  let steps: Step[] = []
  // A product is computed where what takes it in stands, so that nothing between may change what it reads.
  const fusible = (linear: FusedLinear | undefined): linear is FusedLinear =>
    linear !== undefined &&
    uses.get(linear.products[0]!.output) === 1 &&
    !isWrittenBy(readsOf(linear), steps.slice(steps.indexOf(linear)))
  const linearOf = new Map<Value, FusedLinear>()
  const replace = (linear: FusedLinear, ...replaced: FusedLinear[]) => {
    steps = steps.filter((step) => !replaced.includes(step as FusedLinear))
    steps.push(linear)
    linearOf.set(linear.products[0]!.output, linear)
  }
  for (const operation of operations) {
    const [first, second] = operation.inputs.map((value) => linearOf.get(value))
    const output = operation.outputs[0]!
    if (operation.name === 'linear') {
      const [x, weight, bias] = operation.inputs as [Value, Value, Value?]
      replace({ x, products: [{ matrix: bias ? { weight, bias } : { weight }, output }] })
    } else if (operation.name === 'siluMultiply' && canGate(first, second) && fusible(first) && fusible(second)) {
      const [gate, up] = [first.products[0]!.matrix, second.products[0]!.matrix]
      replace({ x: first.x, products: [{ matrix: gate, up, output }] }, first, second)
    } else if (operation.name === 'add' && canAdd(second) && fusible(second)) {
      const product = { ...second.products[0]!, residual: operation.inputs[0]!, output }
      replace({ x: second.x, products: [product] }, second)
    } else {
      steps.push(operation)
    }
  }
  return groupByInput(steps).map((step) => ('products' in step ? toOperation(step) : step))
}

function isPlain({ residual, up }: Product): boolean {
  return residual === undefined && up === undefined
}

function canGate(gate: FusedLinear | undefined, up: FusedLinear | undefined): boolean {
  return gate !== undefined && up !== undefined && gate !== up && gate.x === up.x && canAdd(gate) && canAdd(up)
}

function canAdd(linear: FusedLinear | undefined): boolean {
  return linear !== undefined && isPlain(linear.products[0]!)
}

/**
 * Moves products up to the first of the same x, unless what they read is computed or changed between the two. A product with a
 * residual stays where that has been computed.
 */
function groupByInput(steps: readonly Step[]): Step[] {
  const firstOf = new Map<Value, FusedLinear>()
  const grouped: Step[] = []
  for (const step of steps) {
    if (!('products' in step) || step.products[0]!.residual) {
      grouped.push(step)
      continue
    }
    const first = firstOf.get(step.x)
    const between = first ? grouped.slice(grouped.indexOf(first) + 1) : []
    if (first && !isWrittenBy(readsOf(step), between) && !isComputedBy(readsOf(step), [first, ...between])) {
      first.products.push(...step.products)
    } else {
      firstOf.set(step.x, step)
      grouped.push(step)
    }
  }
  return grouped
}

/** The values that a product reads. */
function readsOf({ x, products }: FusedLinear): Value[] {
  const values = products.flatMap(({ matrix, up, residual }) => {
    return [matrix.weight, matrix.bias, up?.weight, up?.bias, residual]
  })
  return [x, ...values.filter((value) => value !== undefined)]
}

/** Whether any of the steps changes elements that any of the values has. */
function isWrittenBy(values: readonly Value[], steps: readonly Step[]): boolean {
  return steps.some((step) => {
    const written = 'written' in step ? step.written : undefined
    return written !== undefined && values.some((value) => overlap(value, written))
  })
}

/** Whether any of the values is a result of the steps. */
function isComputedBy(values: readonly Value[], steps: readonly Step[]): boolean {
  const computed = steps.flatMap((step) =>
    'products' in step ? step.products.map(({ output }) => output) : step.outputs,
  )
  return values.some((value) => computed.includes(value))
}

/** Whether two values share elements: as tensors may that are views of one memory, or have opened it twice. */
function overlap(a: Value, b: Value): boolean {
  if (!a.tensor || !b.tensor) return a === b
  const [ofA, ofB] = [a.tensor.handle?.memory, b.tensor.handle?.memory]
  const isOneMemory =
    a.tensor.storage === b.tensor.storage ||
    (ofA !== undefined && ofA.name === ofB?.name && isDeepStrictEqual(ofA.stored, ofB.stored))
  const [endOfA, endOfB] = [a.tensor.offset + a.tensor.byteLength, b.tensor.offset + b.tensor.byteLength]
  return isOneMemory && a.tensor.offset < endOfB && b.tensor.offset < endOfA
}

/** The operation of a product, as native/src/program/linear.cc reads it. */
function toOperation({ x, products }: FusedLinear): TracedOperation {
  const inputs = [x]
  const numbers: Record<string, number> = {}
  products.forEach(({ matrix, up, residual }, i) => {
    const parts = [matrix.bias, residual, up?.weight, up?.bias]
    inputs.push(matrix.weight, ...parts.filter((value) => value !== undefined))
    numbers[`product${i}`] = parts.reduce((bits, part, bit) => bits | (part ? 1 << bit : 0), 0)
  })
  return { name: 'linear', inputs, outputs: products.map(({ output }) => output), numbers, group: undefined }
}
