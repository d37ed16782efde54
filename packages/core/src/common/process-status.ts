import { readFileSync } from 'node:fs'

/**
 * The fields of a `stat` file in /proc after the name, which may have blanks and brackets in it: the first is the state, as
 * proc(5) numbers them from 3 on.
 *
 * @param file that of a process or of a thread, such as `/proc/1/stat`
 * @throws Error if the process has ended and is listed no more
 */
export function statusOf(file: string): string[] {
  const text = readFileSync(file, 'latin1')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}
