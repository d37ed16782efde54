import { parseArgs } from 'node:util'
import { actors } from './actors.js'
import { type Benchmark, BenchmarkError, type Figure } from './benchmark.js'
import { collectives } from './collectives/collectives.js'
import { flops } from './flops.js'
import { graphs } from './graph.js'
import { llm } from './llm.js'
import { load } from './load.js'
import { memory } from './memory.js'
import { pageFaults } from './numbers.js'
import { parallel } from './parallel/parallel.js'
import { planner } from './planner.js'
import { serve } from './serve/serve.js'

/** Every benchmark; a new one is a file of its own and a line here. */
const benchmarks: readonly Benchmark[] = [
  actors,
  collectives,
  flops,
  graphs,
  llm,
  load,
  memory,
  parallel,
  planner,
  serve,
]

/**
 * Options that say how figures are printed: as lines of JSON, as a table in Markdown, or, without either, as plain lines.
 */
const formats = {
  json: { type: 'boolean', default: false },
  markdown: { type: 'boolean', default: false },
} as const

/**
 * Runs the benchmark that the arguments name and prints its figures, with `--json` as a line of JSON each and with
 * `--markdown` as a table. Sets the exit status: 2 with one line on stderr for a mistake that the user can correct.
 */
export async function main([name, ...args]: string[]): Promise<void> {
  // A reader that has seen enough, such as `head`, closes the pipe; that is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  process.stderr.on('error', () => {})
  try {
    await run(name, args)
  } catch (error) {
    if (!(error instanceof BenchmarkError)) throw error
    process.exitCode = 2
    process.stderr.write(`error: ${error.message}\n`)
  }
}

async function run(name: string | undefined, args: string[]): Promise<void> {
  const benchmark = benchmarks.find((candidate) => candidate.name === name)
  if (!benchmark) {
    const known = benchmarks.map((candidate) => `  ${candidate.name.padEnd(14)}${candidate.summary}`).join('\n')
    throw new BenchmarkError(`expected a benchmark, found ${name ?? 'none'}; there are:\n${known}`)
  }
  const values = read(benchmark, args)
  if (values.markdown) process.stdout.write('| figure | value | unit | page faults |\n| --- | ---: | --- | ---: |\n')
  let before = pageFaults()
  for await (const figure of benchmark.run(values)) {
    const counted = { ...figure, faults: figure.faults ?? pageFaults() - before }
    process.stdout.write(`${values.json ? JSON.stringify(counted) : values.markdown ? row(counted) : line(counted)}\n`)
    before = pageFaults()
  }
}

function read(benchmark: Benchmark, args: string[]): Readonly<Record<string, unknown>> {
  try {
    return parseArgs({ args, options: { ...benchmark.options, ...formats } }).values
  } catch (error) {
    throw new BenchmarkError(`${benchmark.name}: ${(error as Error).message}`)
  }
}

function line({ name, unit, value, faults }: Figure): string {
  return `${name.padEnd(32)}${value.toPrecision(4).padStart(12)} ${unit.padEnd(8)}${faults} faults`
}

function row({ name, unit, value, faults }: Figure): string {
  return `| ${name} | ${value.toPrecision(4)} | ${unit} | ${faults} |`
}
