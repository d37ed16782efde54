/** Lines of one actor or task that are kept for `troupe logs`. */
const KEPT_LINES = 1000
/** Names whose lines are kept; those that wrote nothing for the longest are dropped. */
const KEPT_NAMES = 1000
/** Lines of one name that are passed on in a second; further ones are only kept, and counted. */
const MOST_LINES = 5000
/** Milliseconds after which the count of a line that repeats is told. */
const FOLD_WITHIN = 1000
/** Different lines of a driver within that time that others may repeat. */
const MOST_SHARED = 1000
/** Names that are told of those who repeated a line. */
const MOST_TOLD = 3

/** The actor or task that a line is of. */
export interface LineSource {
  readonly name: string
  /** The driver that sees it. */
  readonly driver: string | undefined
  /** The text before it. */
  readonly prefix: string
}

/** Passes a line on to who should see it. */
export type Print = (line: string, driver: string | undefined) => void

/** A line that was printed a moment ago, and what others have repeated of it. */
interface Shared {
  readonly line: string
  readonly source: LineSource
  repeats: number
  readonly others: Set<string>
  readonly timer: NodeJS.Timeout
}

class Page {
  readonly lines: string[] = []
  last: string | undefined
  /** The line of another that its last line repeated, if it did. */
  shared: Shared | undefined
  repeats = 0
  passed = 0
  dropped = 0
  timer: NodeJS.Timeout | undefined

  constructor(readonly source: LineSource) {}
}

/**
 * The output of the cluster's workers: keeps the latest lines, and folds bursts of the same line, of one worker or of many,
 * before they are printed.
 */
export class LogBook {
  readonly #pages = new Map<string, Page>()
  readonly #shared = new Map<string, Shared>()
  readonly #print: Print

  constructor(print: Print) {
    this.#print = print
  }

  take(source: LineSource, line: string): void {
    const page = this.#pageOf(source)
    if (page.lines.push(line) > KEPT_LINES) page.lines.shift()
    if (line === page.last) {
      if (page.shared) page.shared.repeats += 1
      else page.repeats += 1
      this.#tellLater(page)
      return
    }
    this.#tell(page)
    page.last = line
    page.shared = this.#repeated(source, line)
    if (page.shared) return
    page.passed += 1
    if (page.passed > MOST_LINES) page.dropped += 1
    else this.#print(source.prefix + line, source.driver)
    this.#tellLater(page)
  }

  /** The latest lines of an actor or of a task's function. */
  lines(name: string): string[] {
    return this.#pages.get(name)?.lines ?? []
  }

  /** Tells a driver all that has been folded so far. */
  flush(driver: string | undefined): void {
    for (const page of this.#pages.values()) if (page.source.driver === driver) this.#tell(page)
    for (const [key, { source }] of this.#shared) if (source.driver === driver) this.#tellShared(key)
  }

  #pageOf(source: LineSource): Page {
    const page = this.#pages.get(source.name) ?? new Page(source)
    this.#pages.delete(source.name)
    this.#pages.set(source.name, page)
    if (this.#pages.size > KEPT_NAMES) this.#pages.delete(this.#pages.keys().next().value!)
    return page
  }

  /** The line of another that this one repeats. If it repeats none, others may repeat it for a moment. */
  #repeated(source: LineSource, line: string): Shared | undefined {
    const key = `${source.driver} ${line}`
    const known = this.#shared.get(key)
    if (known && known.source.name !== source.name) {
      known.repeats += 1
      known.others.add(source.name)
      return known
    }
    if (!known && this.#shared.size < MOST_SHARED) {
      const timer = setTimeout(() => this.#tellShared(key), FOLD_WITHIN)
      this.#shared.set(key, { line, source, repeats: 0, others: new Set(), timer })
    }
    return undefined
  }

  #tellShared(key: string): void {
    const { line, source, repeats, others, timer } = this.#shared.get(key)!
    clearTimeout(timer)
    this.#shared.delete(key)
    for (const name of others) {
      const page = this.#pages.get(name)
      if (page) page.last = undefined
    }
    if (repeats === 0) return
    const told = [...others].slice(0, MOST_TOLD)
    const who = others.size > MOST_TOLD ? `${told.join(', ')} and ${others.size - MOST_TOLD} more` : told.join(', ')
    this.#print(`${source.prefix}${line} (came ${repeats} more times, from ${who})`, source.driver)
  }

  #tellLater(page: Page): void {
    page.timer ??= setTimeout(() => {
      page.timer = undefined
      page.passed = 0
      this.#tell(page)
    }, FOLD_WITHIN)
  }

  #tell(page: Page): void {
    const { prefix, driver } = page.source
    if (page.repeats > 0) this.#print(`${prefix}(the line before came ${page.repeats} more times)`, driver)
    if (page.dropped > 0 && page.passed === 0) {
      this.#print(`${prefix}(${page.dropped} lines were left out)`, driver)
      page.dropped = 0
    }
    page.repeats = 0
  }
}
