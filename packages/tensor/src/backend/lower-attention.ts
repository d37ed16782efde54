import { Tensor } from '../tensor.js'
import type { TracedOperation, Value } from '../trace-operands.js'
import type { TracedProgram } from './backend.js'

/**
 * Takes attention over the tokens that ranks cache together apart into operations that each device has: the ranks gather all queries,
 * each attends over the tokens that it caches (`partialAttention`), they gather what each has found, and each joins what is its own by
 * log-sum-exp (`joinAttention`), as in arXiv 2310.01889.
 */
export function lowerSequenceAttention(traced: TracedProgram): TracedProgram {
  const values = [...traced.values]
  const add = (fields: Omit<Value, 'index'>): Value => {
    const value = { index: values.length, ...fields }
    values.push(value)
    return value
  }
  const operations = traced.operations.flatMap((operation) =>
    operation.name === 'sequenceAttention' ? lower(operation, add) : [operation],
  )
  const read = new Set([...operations.flatMap(({ inputs }) => inputs), ...Object.values(traced.outputs)])
  // The spans of other ranks, which nothing reads any more.
  const isNeeded = ({ name, outputs }: TracedOperation) =>
    name !== 'gatherSpans' || outputs.some((value) => read.has(value))
  return { ...traced, values, operations: operations.filter(isNeeded) }
}

function lower(operation: TracedOperation, add: (fields: Omit<Value, 'index'>) => Value): TracedOperation[] {
  const { inputs, outputs, numbers, group } = operation
  const [query, keys, values, sequence, begin, end, blockTables, keyHeadOf, counts] = inputs as Value[]
  const { rows } = sequence!
  const ranks = group!.size
  const headSize = numbers.headSize!
  const partialColumns = query!.columns + query!.columns / headSize
  const all = add({ type: 'float32', rows, columns: query!.columns })
  const partial = add({ type: 'float32', rows, columns: partialColumns })
  const gathered = add({ type: 'float32', rows, columns: ranks * partialColumns })
  return [
    { name: 'allGatherRows', inputs: [query!, counts!], outputs: [all], numbers: {}, group },
    {
      name: 'partialAttention',
      inputs: [all, keys!, values!, sequence!, begin!, end!, blockTables!, keyHeadOf!],
      outputs: [partial],
      numbers,
      group: undefined,
    },
    {
      name: 'allGatherColumns',
      inputs: [partial, add(widthsOf(ranks, partialColumns))],
      outputs: [gathered],
      numbers: {},
      group,
    },
    {
      name: 'joinAttention',
      inputs: [gathered, counts!],
      outputs,
      numbers: { ranks, rank: group!.rank, headSize },
      group: undefined,
    },
  ]
}

/** A constant: how many columns each rank has. */
function widthsOf(ranks: number, columns: number): Omit<Value, 'index'> {
  const tensor = Tensor.from('int32', [ranks], new Array(ranks).fill(columns), { memory: 'private' })
  return { type: 'int32', rows: 1, columns: ranks, tensor }
}
