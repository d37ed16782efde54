import { ActorDiedError } from '@troupe/core'

/**
 * The first death among actors that are asked for a sign of life; undefined if all give one, or as soon as `milliseconds` are over:
 * a process that is stopped (SIGSTOP) neither answers nor dies.
 */
export async function firstDeath(
  signs: readonly PromiseLike<unknown>[],
  milliseconds: number,
): Promise<ActorDiedError | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds, undefined)
    const settle = (death?: ActorDiedError) => {
      clearTimeout(timer)
      resolve(death)
    }
    const watched = signs.map((sign) =>
      sign.then(
        () => {},
        (error) => {
          if (error instanceof ActorDiedError) settle(error)
        },
      ),
    )
    void Promise.all(watched).then(() => settle())
  })
}
