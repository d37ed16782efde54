import type { ProcessGuard } from './processes.js'

/** What `troupe generate --json` prints. */
export interface Generated {
  tokens: number[]
  text: string
  logits?: number[]
  prefillTokensPerSecond: number
  decodeTokensPerSecond: number
  workers: {
    coordinates: Record<string, number>
    pid: number
    layers: { start: number; end: number }
    weightBytes: number
    kvBytes: number
  }[]
}

export interface Plan {
  pipeline: number
  tensor: number
  sequence: number
}

/** Runs `troupe generate --json` to its end; throws what it printed if it fails. */
export async function generate(guard: ProcessGuard, model: string, plan: Plan, ...args: string[]): Promise<Generated> {
  const flags = Object.entries(plan).flatMap(([name, size]) => [`--${name}`, String(size)])
  const end = await guard.troupe('generate', '--model', model, ...flags, '--json', ...args).finished
  if (end.status !== 0) throw new Error(`troupe generate ended with status ${end.status}: ${end.stderr}`)
  return JSON.parse(end.stdout)
}

export function planName({ pipeline, tensor, sequence }: Plan): string {
  return `(${pipeline},${tensor},${sequence})`
}
