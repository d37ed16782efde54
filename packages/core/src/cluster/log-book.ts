/** Lines of one actor or task that are kept for `troupe logs`. */
const KEPT_LINES = 1000
/** Names whose lines are kept; those that wrote nothing for the longest are dropped. */
const KEPT_NAMES = 1000
/** Lines of one name that are passed on in a second; further ones are only kept, and counted. */
const MOST_LINES = 5000
/** Milliseconds after which the count of a line that repeats is told. */
const FOLD_WITHIN = 1000

/** Passes a line on to who should see it. */
export type Print = (name: string, line: string, driver: string | undefined) => void

class Page {
  readonly lines: string[] = []
  last: string | undefined
  repeats = 0
  passed = 0
  dropped = 0
  timer: NodeJS.Timeout | undefined

  constructor(
    readonly name: string,
    readonly driver: string | undefined,
  ) {}
}

/** The output of the cluster's workers: keeps the latest lines, and folds bursts of the same line before they are printed. */
export class LogBook {
  readonly #pages = new Map<string, Page>()
  readonly #print: Print

  constructor(print: Print) {
    this.#print = print
  }

  take(name: string, line: string, driver: string | undefined): void {
    const page = this.#pageOf(name, driver)
    if (page.lines.push(line) > KEPT_LINES) page.lines.shift()
    if (line === page.last) {
      page.repeats += 1
      this.#tellLater(page)
      return
    }
    this.#tell(page)
    page.last = line
    page.passed += 1
    if (page.passed > MOST_LINES) page.dropped += 1
    else this.#print(name, line, driver)
    this.#tellLater(page)
  }

  /** The latest lines of an actor or of a task's function. */
  lines(name: string): string[] {
    return this.#pages.get(name)?.lines ?? []
  }

  #pageOf(name: string, driver: string | undefined): Page {
    const page = this.#pages.get(name) ?? new Page(name, driver)
    this.#pages.delete(name)
    this.#pages.set(name, page)
    if (this.#pages.size > KEPT_NAMES) this.#pages.delete(this.#pages.keys().next().value!)
    return page
  }

  #tellLater(page: Page): void {
    page.timer ??= setTimeout(() => {
      page.timer = undefined
      page.passed = 0
      this.#tell(page)
    }, FOLD_WITHIN)
  }

  #tell(page: Page): void {
    if (page.repeats > 0) this.#print(page.name, `(the line before came ${page.repeats} more times)`, page.driver)
    if (page.dropped > 0 && page.passed === 0) {
      this.#print(page.name, `(${page.dropped} lines were left out)`, page.driver)
      page.dropped = 0
    }
    page.repeats = 0
  }
}
