/**
 * Ties this process to the one that started it: when that one dies, however it dies, this one is killed. The kernel sees
 * to it; the end of the inherited stdin is a second way to notice, for hosts where the native addon is not built.
 */
export async function followParent(parentPid: number): Promise<void> {
  onParentEnd(end)
  try {
    const { dieWithParent } = await import('@troupe/native')
    dieWithParent(parentPid)
  } catch {
    if (process.ppid !== parentPid) end()
  }
}

/** Does something when the process that started this one has ended, however that did. */
export function onParentEnd(act: () => void): void {
  process.stdin.on('error', act).on('close', act).on('end', act).resume()
}

function end(): void {
  process.kill(process.pid, 'SIGKILL')
}
