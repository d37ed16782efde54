import { pathToFileURL } from 'node:url'
import { InvalidInputError } from '../common/errors.js'

/** Begins the URLs of modules in a working directory, wherever that is. */
const SCHEME = 'working-directory:'

/** The working directory of a driver, where this process has it. */
export class WorkingDirectory {
  readonly #url: string

  /** @param root its path in this process */
  constructor(root: string) {
    this.#url = `${pathToFileURL(root).href}/`
  }

  /** The URL of a module for other processes, which may have the directory elsewhere. */
  toPortable(url: string): string {
    return url.startsWith(this.#url) ? SCHEME + url.slice(this.#url.length) : url
  }

  toLocal(url: string): string {
    return url.startsWith(SCHEME) ? this.#url + url.slice(SCHEME.length) : url
  }
}

/** The URL that a process knows a module by. */
export function localUrl(url: string, directory: WorkingDirectory | undefined): string {
  if (directory) return directory.toLocal(url)
  if (url.startsWith(SCHEME))
    throw new InvalidInputError(`${url} is in a working directory that this process is not in`)
  return url
}
