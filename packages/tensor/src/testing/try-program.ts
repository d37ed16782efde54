import type { ExecutionContext } from 'ava'
import type { DeviceName } from '../device.js'
import type { Trace } from '../trace.js'
import { Random } from './random.js'
import { RandomProgram } from './random-program.js'

/** Traces and runs a random program; says what came of it. */
export async function tryProgram(
  t: ExecutionContext,
  seed: number,
  device: DeviceName = 'cpu',
): Promise<'computed' | 'refused'> {
  const random = new Random(seed)
  let made: RandomProgram
  let program: ReturnType<Trace['compile']>
  try {
    made = new RandomProgram(random, device)
    program = made.trace.compile(made.outputs, { threads: random.from(1, 3), device })
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error
    return 'refused'
  }
  for (const { name, values } of made.fills) program.inputs[name]!.set(values)
  for (let run = 0; run < 3; run++) {
    const symbols = made.symbols()
    try {
      await program.run(symbols)
    } catch (error) {
      t.regex((error as Error).message, /expected|between|cancelled/)
      return 'refused'
    }
    for (const [name, value] of Object.entries(made.outputs)) {
      const expected = made.references.get(value)?.(symbols)
      const found = program.outputs[name]!.data
      const at = expected?.findIndex((number, i) => Math.abs(number - found[i]!) > 1e-3 * (1 + Math.abs(number))) ?? -1
      if (at >= 0) t.fail(`program ${seed}, ${name}[${at}]: expected ${expected![at]}, found ${found[at]}`)
    }
  }
  return 'computed'
}
