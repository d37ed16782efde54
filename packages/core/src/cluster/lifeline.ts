/**
 * Ties this process to the one that started it: when that one dies, however it dies, this one is killed. The kernel sees
 * to it; the end of the inherited stdin is a second way to notice, for hosts where the native addon is not built.
 */
export async function followParent(parentPid: number): Promise<void> {
  process.stdin.on('error', end).on('close', end).on('end', end).resume()
  try {
    const { dieWithParent } = await import('@troupe/native')
    dieWithParent(parentPid)
  } catch {
    if (process.ppid !== parentPid) end()
  }
}

function end(): void {
  process.kill(process.pid, 'SIGKILL')
}
