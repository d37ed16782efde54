import type { TracedOperation, Value } from './trace.js'

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
 * feed-forward layer with the activation between them, a sum with the product that gives one of its terms, and all
 * products of one x, which is then prepared once.
 * @param kept Values that must exist after a run.
 */
export function fuse(operations: readonly TracedOperation[], kept: ReadonlySet<Value>): TracedOperation[] {
  const uses = new Map<Value, number>()
  for (const value of [...operations.flatMap(({ inputs }) => inputs), ...kept]) {
    uses.set(value, (uses.get(value) ?? 0) + 1)
  }
  const fusible = (linear: FusedLinear | undefined): linear is FusedLinear =>
    linear !== undefined && uses.get(linear.products[0]!.output) === 1

  let steps: Step[] = []
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

/** Moves products up to the first of the same x. A product with a residual stays where that has been computed. */
function groupByInput(steps: readonly Step[]): Step[] {
  const firstOf = new Map<Value, FusedLinear>()
  return steps.filter((step) => {
    if (!('products' in step) || step.products[0]!.residual) return true
    const first = firstOf.get(step.x)
    if (!first) {
      firstOf.set(step.x, step)
      return true
    }
    first.products.push(...step.products)
    return false
  })
}

/** As native/src/program/linear.cc reads it. */
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
