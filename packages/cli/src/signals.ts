const signals = ['SIGINT', 'SIGTERM'] as const

/** Resolves at the first Ctrl-C or SIGTERM; the second ends the process at once. */
export async function untilSignal(): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const signal of signals) process.once(signal, () => resolve())
  })
  for (const signal of signals) process.once(signal, () => process.exit(130))
}
