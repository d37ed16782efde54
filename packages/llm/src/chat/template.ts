import { InvalidInputError } from '@troupe/core'
import { Environment, Interpreter, parse, type Statement, tokenize, type Value } from './jinja.js'
import { strftime } from './strftime.js'

/** What takes longer is taken for a template that does not end; a chat of a thousand messages takes some 100 ms. */
const MOST_MILLISECONDS = 3000
const STEPS_BETWEEN_LOOKS = 256
/** As in Jinja's sandbox. */
const MOST_RANGE = 100_000

/**
 * A Jinja template of chats, rendered as transformers does: lines of blocks alone leave nothing, and beside Jinja's own there
 * are `raise_exception`, `strftime_now`, `{% break %}` and `tojson` that keeps letters as they are.
 */
export class ChatTemplate {
  readonly #program: Statement

  /**
   * @param model names the model whose template it is, for errors
   * @throws InvalidInputError if it is no template.
   */
  constructor(
    readonly source: string,
    private readonly model: string,
  ) {
    try {
      this.#program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }))
    } catch (error) {
      throw new InvalidInputError(
        `the chat template of ${model} cannot be read: ${messageOf(error)}; correct it in the model's files`,
      )
    }
  }

  /**
   * The text for some variables, which go before what templates have of their own.
   * @throws InvalidInputError with what the template says if it raises, or if it does not end.
   */
  render(variables: Readonly<Record<string, unknown>>): string {
    const environment = new Environment()
    for (const [name, value] of Object.entries({ ...globals(), ...variables })) {
      environment.variables.delete(name)
      environment.set(name, value)
    }
    try {
      return String(new BoundedInterpreter(environment).run(this.#program).value)
    } catch (error) {
      throw new InvalidInputError(`the chat template of ${this.model} refuses the messages: ${messageOf(error)}`)
    }
  }
}

/** Leaves the rest of a turn of a loop, with the text that the turn has given so far. */
class LoopControl extends Error {
  text = ''

  constructor(readonly endsLoop: boolean) {
    super('break and continue are for loops')
  }
}

/** Bounds what a template computes, and keeps what a turn of a loop gave before `break` or `continue`, which the library drops. */
class BoundedInterpreter extends Interpreter {
  #steps = 0
  readonly #begun = performance.now()
  readonly #loopBodies = new Set<readonly Statement[]>()
  /** The variables of loops that have been left. */
  readonly #left = new WeakSet<Environment>()

  override evaluate(statement: Statement | undefined, environment: Environment): Value {
    this.#step()
    if (statement?.type === 'Break' || statement?.type === 'Continue') throw new LoopControl(statement.type === 'Break')
    if (statement?.type === 'For') this.#loopBodies.add(statement.body!)
    return super.evaluate(statement, environment)
  }

  override evaluateBlock(statements: readonly Statement[], environment: Environment): Value {
    this.#step()
    if (this.#left.has(environment)) return this.#text('', environment)
    const given: Value[] = []
    try {
      for (const statement of statements) given.push(super.evaluateBlock([statement], environment))
    } catch (error) {
      if (!(error instanceof LoopControl)) throw error
      error.text = given.map(({ value }) => value).join('') + error.text
      if (!this.#loopBodies.has(statements)) throw error
      if (error.endsLoop) this.#left.add(environment)
      return this.#text(error.text, environment)
    }
    return this.#text(given.map(({ value }) => value).join(''), environment)
  }

  #step(): void {
    if (++this.#steps % STEPS_BETWEEN_LOOKS > 0 || performance.now() - this.#begun < MOST_MILLISECONDS) return
    throw new Error(`it does not end within ${MOST_MILLISECONDS / 1000} seconds`)
  }

  #text(value: string, environment: Environment): Value {
    return super.evaluate({ type: 'StringLiteral', value }, environment)
  }
}

function globals(): Record<string, unknown> {
  return {
    ...{ true: true, false: false, none: null, True: true, False: false, None: null },
    raise_exception: (message: unknown) => {
      throw new Error(String(message))
    },
    range,
    strftime_now: (format: unknown) => strftime(new Date(), String(format)),
  }
}

function range(first: number, last?: number, step = 1): number[] {
  const [start, stop] = last === undefined ? [0, first] : [first, last]
  const count = Math.max(0, Math.ceil((stop - start) / step))
  if (!(count <= MOST_RANGE)) throw new Error(`range() gives at most ${MOST_RANGE} numbers`)
  return Array.from({ length: count }, (_, index) => start + index * step)
}

/** The first line, as deep recursion and unknown filters give no more. */
function messageOf(error: unknown): string {
  return String((error as Error).message).trim() || 'it says nothing of why'
}
