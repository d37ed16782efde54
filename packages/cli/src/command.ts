/** An option of a command, and how `--help` explains it. */
export type Option = {
  readonly help: string
  /** Stands for the value in `--help`. */
  readonly placeholder?: string
} & (
  | { readonly type: 'boolean' }
  | { readonly type: 'string'; readonly default?: string }
  | { readonly type: 'integer' | 'number'; readonly default?: number; readonly min?: number; readonly max?: number }
)

export type Options = Readonly<Record<string, Option>>

type ValueOf<O extends Option> = O['type'] extends 'boolean'
  ? boolean
  : (O['type'] extends 'string' ? string : number) | (O extends { default: string | number } ? never : undefined)

/** The values of a command's options, as its `run` gets them. */
export type Values<O extends Options> = { readonly [K in keyof O]: ValueOf<O[K]> }

/** A command of `troupe`. */
export interface Command<O extends Options = Options> {
  readonly name: string
  /** The name of the one argument that is no option, if the command takes one. */
  readonly argument?: string
  readonly summary: string
  /** Lines that `--help` shows below the summary. */
  readonly description?: string
  readonly options: O
  run(values: Values<O>, argument?: string): Promise<void>
}

/** Gives a command's `run` the types of its options. */
export function command<const O extends Options>(definition: Command<O>): Command {
  return definition as unknown as Command
}
