import {
  explain,
  type InfeasiblePlan,
  type ModelShape,
  type Prediction,
  planName,
  type SearchResult,
  type StagePrediction,
  type Workload,
} from '@troupe/llm'
import { table } from './table.js'

/** Plans that are listed unless all are asked for, as JSON. */
const LISTED = 16
const GIGABYTE = 1e9

/** The text of `troupe plan`: plans by how good they are, the workers of the chosen one, and why others do not fit. */
export function planReport(result: SearchResult, workload: Workload): string {
  const { chosen, fitting, infeasible } = result
  if (!chosen) return `No plan fits.\n\n${infeasibleTable(infeasible)}`
  const listed = fitting.slice(0, LISTED)
  if (!listed.includes(chosen)) listed.push(chosen)
  const more = fitting.length > listed.length ? `\n… and ${fitting.length - listed.length} more that fit` : ''
  return [
    `${planTable(listed, chosen)}${more}`,
    `Chosen: ${explain(result, workload)}.`,
    stageTable(chosen),
    ...(infeasible.length > 0 ? [infeasibleTable(infeasible)] : []),
  ].join('\n\n')
}

function planTable(plans: readonly Prediction[], chosen: Prediction): string {
  const heading = ['', 'plan', 'workers', 'GB a worker', 'first token s', 'prefill tok/s', 'decode tok/s']
  const rows = plans.map((plan) => [
    plan === chosen ? '*' : '',
    planName(plan),
    plan.workers,
    figure(Math.max(...plan.stages.map(({ memory }) => totalOf(memory))) / GIGABYTE),
    figure(plan.timeToFirstToken),
    figure(plan.prefillRate),
    figure(plan.decodeRate),
    figure(plan.totalDecodeRate),
    figure(plan.requestSeconds),
    figure(plan.throughput),
  ])
  return table([...heading, 'of all', 'request s', 'output tok/s'], rows)
}

/** The memory of each worker: those of a stage have as much. */
function stageTable({ stages }: Prediction): string {
  const heading = ['stage', 'on', 'workers', 'layers', 'weights GB', 'cache GB', 'working GB', 'of GB']
  const rows = stages.map(({ nodes, workers, layers, memory, limit }, stage) => [
    stage,
    nodes,
    workers,
    layers,
    ...[memory.weights, memory.cache, memory.working, limit].map((bytes) => figure(bytes / GIGABYTE)),
  ])
  return table(heading, rows)
}

/** The reasons why plans do not fit, each once. */
function infeasibleTable(infeasible: readonly InfeasiblePlan[]): string {
  const byReason = new Map<string, InfeasiblePlan[]>()
  for (const plan of infeasible) byReason.set(plan.reason, [...(byReason.get(plan.reason) ?? []), plan])
  const rows = [...byReason].slice(0, LISTED).map(([reason, plans]) => {
    const others = plans.length > 1 ? ` and ${plans.length - 1} more` : ''
    return [`${planName(plans[0]!)}${others}`, reason]
  })
  return table(['do not fit', 'because'], rows)
}

function totalOf({ weights, cache, working }: StagePrediction['memory']): number {
  return weights + cache + working
}

function figure(value: number): number {
  return Number(value.toPrecision(3))
}

/** The value that `troupe plan --json` prints. */
export function planJson(model: ModelShape, workload: Workload, result: SearchResult): unknown {
  return { model, workload, ...result, reason: explain(result, workload) }
}
