import { Socket } from 'node:net'
import test from 'ava'
import { type Handle, InvalidInputError, type ObjectRef, put } from '../index.js'
import { RemoteCounter } from '../testing/counter.js'
import { callAll } from '../testing/documented.js'
import { askEditor } from '../testing/editor.js'
import { RemoteTranslator, remotePick, type Translator } from '../testing/translator.js'
import { useCluster } from '../testing/use-cluster.js'

useCluster(test)

/** A compile error if the two types differ. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <_T extends true>() => true

test('overloads of methods and tasks are those of the class and the function', async (t) => {
  const translator = await RemoteTranslator.spawn()
  const length = translator.translate('seven')
  const digits = translator.translate(255, 16)
  t.true(same<Same<typeof length, ObjectRef<number>>>())
  t.true(same<Same<typeof digits, ObjectRef<string>>>())
  t.deepEqual([await length, await digits], [5, 'ff'])
  t.is(await translator.translate(put(8), 2), '1000', 'refs stand for arguments of each overload')
  // @ts-expect-error the base belongs to numbers
  t.is(await translator.translate('seven', 16), 5)
  const text: string = await remotePick(['a'])
  const number: number = await remotePick([1, 2], 1)
  t.deepEqual([text, number], ['a', 2])
  // @ts-expect-error a list of numbers needs an index
  t.is(await remotePick([1, 2]), 1)
})

test('the type parameters of a generic method become their constraints', async (t) => {
  const translator = await RemoteTranslator.spawn()
  const entry = await translator.same({ word: 'seven' })
  t.is(entry.word, 'seven')
  // @ts-expect-error the constraint holds
  t.deepEqual(await translator.same({ words: [] }), { words: [] })
})

test('handles, refs, lists and maps are no compile errors', async (t) => {
  const [translator, counter] = await Promise.all([RemoteTranslator.spawn(), RemoteCounter.spawn(1)])
  const notes = new Map([[{}, new Set([new Date(0)])]])
  t.is(await translator.count(counter, [{ word: 'a', notes }, { word: 'b' }], put(10)), 13)
  t.is(await translator.either('text'), 'text')
})

test('what the types tell cannot be sent is a compile error, and a clear one where it is sent all the same', async (t) => {
  const translator = await RemoteTranslator.spawn()
  const refusals: [call: (to: Handle<Translator>) => PromiseLike<unknown>, found: string][] = [
    // @ts-expect-error a socket
    [(to) => to.listen(new Socket()), 'argument 1 is an instance of Socket'],
    // @ts-expect-error a function
    [(to) => to.watch('word', () => {}), 'argument 2 is a function'],
    // @ts-expect-error a function, where a text would do
    [(to) => to.either(() => 'text'), 'argument 1 is a function'],
    // @ts-expect-error functions in a list
    [(to) => to.all(() => {}), 'argument 1 is a function'],
    [
      (to) => to.anything({ server: { sockets: [new Socket()] } }),
      'argument 1: .server.sockets[0] is an instance of Socket',
    ],
    [(to) => to.anything([new Map([['on', { click() {} }]])]), 'argument 1: [0][0].click is a function'],
    [(to) => to.anything({ 'a key': Symbol('s') }), 'argument 1: ["a key"] is a symbol'],
    [(to) => to.anything(new WeakMap()), 'argument 1 is an instance of WeakMap'],
  ]
  for (const [call, found] of refusals) {
    const error = await t.throwsAsync(async () => await call(translator), { instanceOf: InvalidInputError }, found)
    t.true(error.message.startsWith(`${found} and cannot be sent to another process`), error.message)
  }
})

test('an editor shows the doc comments of methods through a handle, and finds where they are defined', async (t) => {
  t.deepEqual(await callAll(), [2, [0, 1], 'aa', 3])
  const file = 'testing/documented.ts'
  const names = ['add', 'count', 'twice', 'echo']
  const shown = askEditor(
    file,
    names.map((name) => `documented.${name}`),
  )
  // Of a method with overloads an editor shows the comments of signatures alone, which the types of handles make anew.
  const comments = ['Adds what it is given.', 'Counts up to a limit.', '', 'Gives back what it is given.']
  for (const [index, { type, comment, definition }] of shown.entries()) {
    t.is(comment, comments[index]!, type)
    t.regex(type, /ObjectRef|AsyncIterable/)
    t.true(definition.file.endsWith(file))
    t.regex(definition.text, new RegExp(`^\\*?${names[index]}\\b`))
  }
})
