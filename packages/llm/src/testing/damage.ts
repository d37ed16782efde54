import { writeFileSync } from 'node:fs'
import { InvalidInputError } from '@troupe/core'
import fc from 'fast-check'

/** How many damaged files a test opens; TROUPE_FUZZ sets it for long runs. */
export const damagedFiles = Number(process.env.TROUPE_FUZZ ?? 5000)

/**
 * Opens copies of a file with bytes changed and its end cut off. Each is either read or refused with a single line.
 * @param header How many of its first bytes are changed most.
 * @param open Opens the file and touches all of what it says it has.
 */
export function openDamaged(path: string, original: Uint8Array, header: number, open: () => void): void {
  const edges = fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)
  const change = fc.record({
    at: fc.oneof({ weight: 9, arbitrary: fc.nat(header - 1) }, { weight: 1, arbitrary: fc.nat(original.length - 1) }),
    to: fc.oneof(edges, fc.nat(255)),
  })
  const length = fc.oneof({ weight: 3, arbitrary: fc.constant(original.length) }, fc.nat(original.length))
  fc.assert(
    fc.property(fc.array(change, { maxLength: 6 }), length, (changes, bytesLeft) => {
      const bytes = original.slice(0, bytesLeft)
      for (const { at, to } of changes) if (at < bytesLeft) bytes[at] = to
      writeFileSync(path, bytes)
      try {
        open()
      } catch (error) {
        if (!(error instanceof InvalidInputError) || error.message.includes('\n')) throw error
      }
    }),
    { numRuns: damagedFiles },
  )
}
