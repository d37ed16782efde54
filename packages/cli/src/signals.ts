const signals = ['SIGINT', 'SIGTERM'] as const

/** Resolves at the first Ctrl-C or SIGTERM; the second ends the process at once. */
export async function untilSignal(): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const signal of signals) process.once(signal, () => resolve())
  })
  for (const signal of signals) process.once(signal, () => process.exit(130))
}

/**
 * Ends this process when nobody reads its output any more: a reader that has seen enough, such as `head`, closes the pipe,
 * and that is no failure. A command that runs until a signal ends as with one.
 */
export function endWithReader(): void {
  let isGone = false
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (isGone) return
    isGone = true
    if (error.code !== 'EPIPE') process.exit(1)
    if (!process.emit('SIGTERM', 'SIGTERM')) process.exit(0)
  })
  process.stderr.on('error', () => {})
}
