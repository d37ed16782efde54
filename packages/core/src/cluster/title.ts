/** A process title can be no longer than the process's arguments were, so processes are started with one to fill. */
export function titleRoom(title: string): string {
  return '-'.repeat(title.length)
}

/** What ps and top show for a worker. */
export function workerTitle(name: string): string {
  return `troupe worker ${name}`
}

export const HEAD_TITLE = 'troupe head'
export const NODE_TITLE = 'troupe node'
