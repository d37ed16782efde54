/** The code that the addon gives the failures of groups. */
const CODE = 'ERR_COLLECTIVE'

/**
 * An operation of a group of ranks failed, and with it the group: a rank has died or left, the ranks disagree on the
 * operation, or nothing moved for the group's timeout. The message names the group and the rank.
 */
export class CollectiveError extends Error {
  static {
    Object.defineProperty(CollectiveError.prototype, 'name', {
      value: 'CollectiveError',
      configurable: true,
      writable: true,
    })
  }
}

/** Settles as a native operation does, with failures of groups as their class. */
export async function collective<T>(operation: Promise<T>): Promise<T> {
  try {
    return await operation
  } catch (error) {
    if (error instanceof Error && (error as NodeJS.ErrnoException).code === CODE) {
      throw new CollectiveError(error.message, { cause: error })
    }
    throw error
  }
}
