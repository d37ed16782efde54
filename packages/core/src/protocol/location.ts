import type { ProcessAddress } from '../transport/connection-manager.js'

/** The process that holds a value which did not come with the answer of its call. */
export interface Location {
  /** Names the value in the process that holds it. */
  readonly id: string
  readonly holder: ProcessAddress
}

/** The answer to a process that asks for a ref's value: the value, or where it lives. */
export type Outcome = { readonly value: unknown } | { readonly at: Location }
