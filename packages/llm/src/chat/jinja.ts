import * as jinja from '@huggingface/jinja'

/** A value of a template. */
export interface Value {
  value: unknown
}

/** The variables of a template. */
export interface Environment {
  readonly variables: Map<string, Value>
  set(name: string, value: unknown): Value
}

/** The parsed template, or a part of it. */
export interface Statement {
  readonly type: string
  /** Of a literal. */
  readonly value?: unknown
  /** Of a loop, a condition or a macro. */
  readonly body?: readonly Statement[]
}

interface Interpreter {
  run(program: Statement): Value
  evaluate(statement: Statement | undefined, environment: Environment): Value
  evaluateBlock(statements: readonly Statement[], environment: Environment): Value
}

/** The parts of the library that are used here; its own declarations do not resolve in ES modules. */
export const { Environment, Interpreter, parse, tokenize } = jinja as unknown as {
  Environment: new () => Environment
  Interpreter: new (environment: Environment) => Interpreter
  parse(tokens: unknown[]): Statement
  tokenize(source: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }): unknown[]
}
