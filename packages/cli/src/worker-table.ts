import type { EngineWorker, ModelConfig } from '@troupe/llm'

const MEGABYTE = 1e6

/** A table of the workers: a line each with its place in the plan, process, layers, heads and memory. */
export function workerTable(workers: readonly EngineWorker[], config: ModelConfig): string {
  const rows = workers.map(({ coordinates, pid, layers, heads, weightBytes, kvBytes }) => [
    ...Object.values(coordinates).map(String),
    String(pid),
    span(layers),
    `${heads.end - heads.start} of ${config.heads}`,
    (weightBytes / MEGABYTE).toFixed(2),
    (kvBytes / MEGABYTE).toFixed(2),
  ])
  return align([['pipeline', 'tensor', 'sequence', 'pid', 'layers', 'heads', 'weights MB', 'KV cache MB'], ...rows])
}

/** A range in the way people count: first and last. */
function span({ start, end }: { start: number; end: number }): string {
  return end - start === 1 ? String(start) : `${start}-${end - 1}`
}

function align(rows: string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => row.map((cell, column) => cell.padStart(widths[column]!)).join('  ')).join('\n')
}
