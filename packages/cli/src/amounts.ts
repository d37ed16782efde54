import { InvalidInputError } from '@troupe/core'

/**
 * Reads `NAME=VALUE,NAME=VALUE`.
 *
 * @throws InvalidInputError naming the option
 */
export function readPairs(option: string, text: string | undefined): Record<string, string> {
  const pairs = (text ?? '').split(',').filter((pair) => pair !== '')
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, name, value] = /^([^=]+)=(.+)$/.exec(pair) ?? []
      if (name && value) return [name, value]
      throw new InvalidInputError(`--${option} must be NAME=VALUE joined by commas, found ${JSON.stringify(text)}`)
    }),
  )
}

/**
 * Reads `NAME=AMOUNT,NAME=AMOUNT`.
 *
 * @throws InvalidInputError naming the option
 */
export function readAmounts(option: string, text: string | undefined): Record<string, number> {
  return Object.fromEntries(
    Object.entries(readPairs(option, text)).map(([name, value]) => {
      const amount = Number(value)
      if (Number.isFinite(amount) && amount >= 0) return [name, amount]
      throw new InvalidInputError(
        `--${option} must give ${name} a number of at least 0, found ${JSON.stringify(value)}`,
      )
    }),
  )
}
