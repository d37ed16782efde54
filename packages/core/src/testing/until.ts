/** Looks that are taken, 10 ms apart: a minute, and more where the machine is busy. */
const MOST_LOOKS = 6000

/** Looks until what is found is right, which is true by default, and returns what was found last. */
export async function until<T>(
  look: () => T | Promise<T>,
  isRight: (found: T) => boolean = (found) => found === true,
): Promise<T> {
  let found = await look()
  for (let left = MOST_LOOKS; left > 0 && !isRight(found); left--) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    found = await look()
  }
  return found
}
