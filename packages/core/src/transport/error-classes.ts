import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { propertyOf } from '../common/describe.js'
import { errorClasses } from '../common/errors.js'

/**
 * The mark by which another process, which has loaded the same code, knows an error's class: the names of the class and of
 * those it extends, and a hash of its source text.
 */
export type ClassMark = string

type ErrorClass = abstract new (...args: never[]) => Error

const marks = new WeakMap<object, ClassMark>()

/** The mark of an error's class; its name alone for one that every process has; undefined where it has no class. */
export function markOf(error: Error): ClassMark | undefined {
  const errorClass = propertyOf(error, 'constructor')
  if (typeof errorClass !== 'function') return undefined
  try {
    const { name, prototype } = errorClass
    const common = errorClasses.get(name)
    // Another realm has JavaScript's own classes, too.
    const isCommon = common && (common.prototype === prototype || textOf(errorClass).includes('[native code]'))
    return isCommon ? name : markOfClass(errorClass as ErrorClass)
  } catch {
    // An error must arrive whatever its class is made of.
    return undefined
  }
}

function markOfClass(errorClass: ErrorClass): ClassMark {
  let mark = marks.get(errorClass)
  if (mark === undefined) {
    const names: string[] = []
    for (let one = errorClass; typeof one === 'function' && one.name; one = Object.getPrototypeOf(one)) {
      names.push(one.name)
    }
    mark = `${names.join(' ')} ${createHash('sha256').update(textOf(errorClass)).digest('base64')}`
    marks.set(errorClass, mark)
  }
  return mark
}

function textOf(errorClass: object): string {
  return Function.prototype.toString.call(errorClass)
}

/**
 * The prototype of the class that has a mark in this process. Nothing is imported for it: code that could ask whether an
 * error is an instance of a class has loaded that class. If several classes have the mark, it cannot be told which one is
 * meant.
 */
export function prototypeOf(mark: ClassMark): Error | undefined {
  return mark.includes(' ') ? loaded.prototypeOf(mark) : errorClasses.get(mark)?.prototype
}

/** Milliseconds that searches may take at first, the share of the time since that they may take further, and the most of it. */
const ALLOWANCE = 2000
const SHARE = 1 / 20
/** Marks that were looked for in vain and are not looked for again; of more, the oldest are. */
const MOST_MISSING = 1000

/**
 * Finds error classes by their marks. One search is for all classes that are loaded, since only the engine knows them and takes
 * long to tell; none is made twice for the same mark, and none where searches have taken long lately.
 */
export class ErrorClassIndex {
  readonly #find: () => ErrorClass[]
  readonly #now: () => number
  /** The prototypes of the classes that were loaded at the last search; of several with a mark, none. */
  #known = new Map<ClassMark, WeakRef<Error> | undefined>()
  readonly #missing = new Set<ClassMark>()
  #allowance = ALLOWANCE
  #counted: number

  /**
   * @param find makes a search
   * @param now a clock, in milliseconds
   */
  constructor(find: () => ErrorClass[] = loadedErrorClasses, now: () => number = () => performance.now()) {
    this.#find = find
    this.#now = now
    this.#counted = now()
  }

  prototypeOf(mark: ClassMark): Error | undefined {
    if (!this.#known.has(mark) && !this.#missing.has(mark) && this.#maySearch()) this.#search(mark)
    return this.#known.get(mark)?.deref()
  }

  #maySearch(): boolean {
    const now = this.#now()
    this.#allowance = Math.min(ALLOWANCE, this.#allowance + (now - this.#counted) * SHARE)
    this.#counted = now
    return this.#allowance > 0
  }

  #search(wanted: ClassMark): void {
    const start = this.#now()
    const known = new Map<ClassMark, WeakRef<Error> | undefined>()
    for (const errorClass of this.#find()) {
      const mark = markOrNone(errorClass)
      if (mark !== undefined) known.set(mark, known.has(mark) ? undefined : new WeakRef(errorClass.prototype))
    }
    this.#known = known
    if (!known.has(wanted)) this.#missing.add(wanted)
    if (this.#missing.size > MOST_MISSING) this.#missing.delete(this.#missing.values().next().value!)
    this.#allowance -= this.#now() - start
  }
}

function markOrNone(errorClass: ErrorClass): ClassMark | undefined {
  try {
    return markOfClass(errorClass)
  } catch {
    return undefined
  }
}

/** All error classes of this realm, as only the engine can tell; none where it has no inspector. */
function loadedErrorClasses(): ErrorClass[] {
  type Result = { result: { objectId: string }; objects: { objectId: string } }
  try {
    const { Session } = createRequire(import.meta.url)('node:inspector') as typeof import('node:inspector')
    const session = new Session()
    session.connect()
    try {
      const ask = (method: string, params: object): Result => {
        let answer: Result | undefined
        session.post(method, params, (error, result) => {
          if (error) throw error
          answer = result as Result
        })
        return answer!
      }
      const { result } = ask('Runtime.evaluate', { expression: 'Error.prototype', silent: true })
      const { objects } = ask('Runtime.queryObjects', { prototypeObjectId: result.objectId })
      const key = `taken ${Math.random()}`
      const found: object[] = []
      Object.defineProperty(globalThis, key, { configurable: true, value: (all: object[]) => found.push(...all) })
      try {
        const functionDeclaration = `function () { globalThis[${JSON.stringify(key)}](this) }`
        ask('Runtime.callFunctionOn', { objectId: objects.objectId, functionDeclaration, silent: true })
      } finally {
        Reflect.deleteProperty(globalThis, key)
      }
      return found.flatMap((object) => {
        // Getters would run code of others.
        const errorClass = Object.getOwnPropertyDescriptor(object, 'constructor')?.value
        const isClass =
          typeof errorClass === 'function' && Object.getOwnPropertyDescriptor(errorClass, 'prototype')?.value === object
        return isClass ? [errorClass as ErrorClass] : []
      })
    } finally {
      session.disconnect()
    }
  } catch {
    return []
  }
}

const loaded = new ErrorClassIndex()
