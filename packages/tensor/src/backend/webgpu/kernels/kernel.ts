import type { Value } from '../../../trace-operands.js'

/** A buffer that a kernel reads or writes, and the element that WGSL knows it by. */
export interface Binding {
  name: string
  value: Value
  element: 'f32' | 'i32' | 'u32' | 'atomic<u32>'
  /** Whether the kernel writes to it. */
  isWritten?: boolean
}

/** One compute shader, and over what it runs. */
export interface Kernel {
  /** WGSL that uses the names of its bindings and what {@link preludeOf} declares, and has a function `run(group, lane)`. */
  code: string
  bindings: readonly Binding[]
  /** Invocations of a workgroup. */
  lanes: number
  /** Workgroups for a run, of whose values `rowsOf` tells the rows; 0 for nothing to do. */
  groups(rowsOf: (value: Value) => number): number
}

/** The most workgroups along one dimension that every adapter takes. */
export const MOST_GROUPS = 65_535

/** Rows of a value, in WGSL. */
export function rowsIn({ rows }: Value): string {
  if (typeof rows === 'number') return `${rows}u`
  return `symbols[${rows.index >> 2}][${rows.index & 3}]`
}

/** The element that a value's type is known by: words for types whose elements are smaller. */
export function elementOf({ type }: Value): 'f32' | 'i32' | 'u32' {
  return type === 'float32' ? 'f32' : type === 'int32' ? 'i32' : 'u32'
}

/** The whole source of a kernel: declarations, its code, and the entry point that numbers workgroups. */
export function sourceOf({ code, bindings, lanes }: Kernel, symbols: number): string {
  const buffers = bindings.map(
    ({ name, element }, i) => `@group(0) @binding(${i + 1}) var<storage, read_write> ${name}: array<${element}>;`,
  )
  return `
@group(0) @binding(0) var<uniform> symbols: array<vec4<u32>, ${Math.max(1, Math.ceil(symbols / 4))}>;
${buffers.join('\n')}
${code}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  run(id.y * ${MOST_GROUPS}u + id.x, lane);
}
`
}

/** A kernel that computes elements on their own, of as many rows as a value has: `element(i)` computes number i. */
export function elementwise(bindings: readonly Binding[], over: Value, code: string, columns = over.columns): Kernel {
  const lanes = 64
  return {
    bindings,
    lanes,
    code: `${code}
fn run(group: u32, lane: u32) {
  let i = group * ${lanes}u + lane;
  if (i < ${rowsIn(over)} * ${columns}u) { element(i); }
}`,
    groups: (rowsOf) => Math.ceil((rowsOf(over) * columns) / lanes),
  }
}

/** A float that is written in WGSL. */
export function float(value: number): string {
  const rounded = Math.fround(value)
  return Number.isInteger(rounded) ? `${rounded.toFixed(1)}f` : `${rounded}f`
}
