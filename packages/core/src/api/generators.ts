const generatorClasses = [function* () {}, async function* () {}].map((example) => example.constructor)

/** Whether a value is a generator function. */
export function isGenerator(value: unknown): boolean {
  return generatorClasses.some((generator) => value instanceof generator)
}
