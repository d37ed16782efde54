import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { errorClasses } from '../api/errors.js'
import { propertyOf } from './describe.js'

/**
 * What an error's class is known by in another process, which has loaded the same code: the names of the class and of those it
 * extends, and a hash of its source text.
 */
export type ClassMark = string

type ErrorClass = abstract new (...args: never[]) => Error

const marks = new WeakMap<object, ClassMark>()
const known = new Map<ClassMark, WeakRef<Error>>()
/** When a class that was not found is looked for again: it may have been loaded since. */
const lookAgain = new Map<ClassMark, number>()
/** A search may take this share of the time. */
const SHARE = 1 / 20

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
 * The prototype of the class that has a mark in this process. Nothing is imported for it: code that could ask whether an error
 * is an instance of a class has loaded that class. Where several classes have the mark, it cannot be told which one is meant.
 */
export function prototypeOf(mark: ClassMark): Error | undefined {
  if (!mark.includes(' ')) return errorClasses.get(mark)?.prototype
  const found = known.get(mark)?.deref()
  if (found || performance.now() < (lookAgain.get(mark) ?? 0)) return found
  const start = performance.now()
  const classes = loadedErrorClasses().filter((errorClass) => isMarked(errorClass, mark))
  const end = performance.now()
  if (classes.length === 1) known.set(mark, new WeakRef(classes[0]!.prototype))
  else lookAgain.set(mark, end + (end - start) / SHARE)
  return known.get(mark)?.deref()
}

function isMarked(errorClass: ErrorClass, mark: ClassMark): boolean {
  try {
    return markOfClass(errorClass) === mark
  } catch {
    return false
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
      const { result } = ask('Runtime.evaluate', { expression: 'Error.prototype' })
      const { objects } = ask('Runtime.queryObjects', { prototypeObjectId: result.objectId })
      const key = `taken ${Math.random()}`
      const found: object[] = []
      Object.defineProperty(globalThis, key, { configurable: true, value: (all: object[]) => found.push(...all) })
      try {
        const functionDeclaration = `function () { globalThis[${JSON.stringify(key)}](this) }`
        ask('Runtime.callFunctionOn', { objectId: objects.objectId, functionDeclaration })
      } finally {
        Reflect.deleteProperty(globalThis, key)
      }
      return found.flatMap((object) => {
        const errorClass = Object.hasOwn(object, 'constructor') ? propertyOf(object, 'constructor') : undefined
        const isClass = typeof errorClass === 'function' && propertyOf(errorClass, 'prototype') === object
        return isClass ? [errorClass as ErrorClass] : []
      })
    } finally {
      session.disconnect()
    }
  } catch {
    return []
  }
}
