import { Session } from 'node:inspector'
import test from 'ava'
import { type ClassMark, ErrorClassIndex, markOf, prototypeOf } from './error-classes.js'

class FirstError extends Error {}
class SecondError extends FirstError {}
const classes = [FirstError, SecondError]

function markOfClass(errorClass: new () => Error): ClassMark {
  return markOf(new errorClass())!
}

test('one search finds all classes that are loaded, and none is made twice for a class that is not', (t) => {
  let searches = 0
  const index = new ErrorClassIndex(() => {
    searches += 1
    return classes
  })
  for (const errorClass of [...classes, ...classes])
    t.is(index.prototypeOf(markOfClass(errorClass)), errorClass.prototype)
  t.is(searches, 1)
  for (let round = 0; round < 3; round++) t.is(index.prototypeOf('AbsentError Error abc'), undefined)
  t.is(searches, 2)
  t.is(index.prototypeOf(markOfClass(FirstError)), FirstError.prototype)
  t.is(searches, 2)
})

test('a class that is loaded after the first search is found', (t) => {
  const loaded = [...classes]
  const index = new ErrorClassIndex(() => loaded)
  t.is(index.prototypeOf(markOfClass(FirstError)), FirstError.prototype)
  class LateError extends Error {}
  loaded.push(LateError)
  t.is(index.prototypeOf(markOfClass(LateError)), LateError.prototype)
})

test('errors of ever new classes cost little of the time', (t) => {
  let now = 0
  let searched = 0
  const search = () => {
    now += 100
    searched += 100
    return classes
  }
  const index = new ErrorClassIndex(search, () => now)
  for (let count = 0; count < 100_000; count++) {
    index.prototypeOf(`Error${count} Error abc`)
    now += 1
  }
  t.true(searched > 2000 && searched <= 2100 + now / 20, `${searched} of ${now} ms`)
  t.is(index.prototypeOf(markOfClass(FirstError)), FirstError.prototype, 'what is known is found all the same')
})

test('a search is not seen by a debugger, whatever it stops at', (t) => {
  const debuggerSession = new Session()
  debuggerSession.connect()
  let pauses = 0
  debuggerSession.on('Debugger.paused', () => {
    pauses += 1
    debuggerSession.post('Debugger.resume')
  })
  debuggerSession.post('Debugger.enable')
  debuggerSession.post('Debugger.setPauseOnExceptions', { state: 'all' })
  try {
    class TrickyError extends Error {}
    const read = () => {
      throw new Error('read')
    }
    Object.defineProperty(TrickyError.prototype, 'constructor', { get: read })
    t.is(prototypeOf(markOfClass(SecondError)), SecondError.prototype)
    t.is(prototypeOf('NoSuchError Error abc'), undefined)
    t.is(pauses, 0)
    try {
      throw new Error('seen')
    } catch {}
    t.is(pauses, 1, 'the session of the user goes on')
  } finally {
    debuggerSession.disconnect()
  }
})
