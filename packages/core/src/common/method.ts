/** A method or a function, as what runs it sees it. */
export type Method = (...args: unknown[]) => unknown
