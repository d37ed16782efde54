import { ActorDiedError } from '@troupe/core'
import test from 'ava'
import { firstDeath } from './first-death.js'

const never = new Promise(() => {})
const death = Object.create(ActorDiedError.prototype) as ActorDiedError

test('a death is found at once beside actors that do not answer, and other errors are none', async (t) => {
  const signs = [never, Promise.reject(new Error('refused')), Promise.resolve(), Promise.reject(death)]
  t.is(await firstDeath(signs, 2 ** 30), death)
})

test('where all answer there is no death', async (t) => {
  t.is(await firstDeath([Promise.resolve(), Promise.reject(new Error('refused'))], 2 ** 30), undefined)
  t.is(await firstDeath([], 2 ** 30), undefined)
})

test('actors that do not answer are waited for no longer than told', async (t) => {
  t.is(await firstDeath([never, Promise.resolve()], 10), undefined)
})
