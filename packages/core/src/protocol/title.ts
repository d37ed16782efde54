/** A process title can be no longer than the process's arguments were, so processes are started with one to fill. */
export function titleRoom(title: string): string {
  return '-'.repeat(title.length)
}

/** Room for the name of the actor that a worker will be given. */
export const TITLE_ROOM = titleRoom(workerTitle(' '.repeat(60)))

/** The name of a worker in ps and top. */
export function workerTitle(name: string): string {
  return `troupe worker ${name}`
}

export const HEAD_TITLE = 'troupe head'
export const NODE_TITLE = 'troupe node'
