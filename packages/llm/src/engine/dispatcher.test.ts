import test from 'ava'
import { Dispatcher } from './dispatcher.js'
import type { Replica, ReplicaListener } from './replica.js'
import { Request } from './request.js'

/** A replica that notes what it is given. */
class StandIn {
  state: Replica['state'] = 'ready'
  failure = new Error('no workers')
  work = 0
  readonly given: Request[] = []

  constructor(readonly listener: ReplicaListener) {}

  workWith(): number {
    return this.work
  }

  add(request: Request): void {
    this.given.push(request)
  }

  cancel(): void {}

  /** Its workers die: gives up what it has. */
  die(): void {
    this.state = 'recovering'
    this.listener.lost(this.given.splice(0), new Error('died'))
  }

  settle(state: Replica['state']): void {
    this.state = state
    this.listener.settled()
  }
}

async function start(count: number) {
  const replicas: StandIn[] = []
  const dispatcher = await Dispatcher.start(count, (_, listener) => {
    replicas.push(new StandIn(listener))
    return Promise.resolve(replicas.at(-1) as unknown as Replica)
  })
  return { dispatcher, replicas }
}

function requestOf() {
  const failures: Error[] = []
  const listener = { token: () => {}, scores: () => {}, hiddenStates: () => {}, end: () => {} }
  const fail = (error: Error) => failures.push(error)
  return { request: new Request([1], { kind: 'embed', tokens: 'last' }, { ...listener, fail }), failures }
}

test('a request goes to the replica that is done with it first, and on to another when that one dies', async (t) => {
  const { dispatcher, replicas } = await start(2)
  const [one, other] = replicas as [StandIn, StandIn]
  one.work = 5
  const { request, failures } = requestOf()
  dispatcher.add(request)
  t.deepEqual(other.given, [request])
  other.die()
  t.deepEqual(one.given, [request])
  t.deepEqual(failures, [])
})

test('requests wait for a replica that is started anew, and fail with the reason when none can be', async (t) => {
  const { dispatcher, replicas } = await start(1)
  const [only] = replicas as [StandIn]
  const [first, second] = [requestOf(), requestOf()]
  dispatcher.add(first.request)
  only.die()
  dispatcher.add(second.request)
  t.deepEqual(only.given, [])
  only.settle('ready')
  t.deepEqual(only.given, [first.request, second.request])
  only.die()
  only.settle('failed')
  t.deepEqual([first.failures, second.failures], [[only.failure], [only.failure]])
  t.throws(() => dispatcher.add(requestOf().request), { is: only.failure })
})

test('a request that is cancelled while its workers are found dead is not taken up again', async (t) => {
  const { dispatcher, replicas } = await start(2)
  const { request } = requestOf()
  dispatcher.add(request)
  dispatcher.cancel(request)
  for (const replica of replicas) if (replica.given.length > 0) replica.die()
  t.deepEqual(
    replicas.map(({ given }) => given),
    [[], []],
  )
})

test('a request under which workers die again and again without it getting on fails with the last death', async (t) => {
  const { dispatcher, replicas } = await start(1)
  const [only] = replicas as [StandIn]
  const { request, failures } = requestOf()
  dispatcher.add(request)
  for (let deaths = 1; deaths <= 5 && failures.length === 0; deaths++) {
    request.progress += deaths === 2 ? 1 : 0
    only.die()
    only.settle('ready')
  }
  t.is(failures[0]?.message, 'died')
  t.deepEqual(only.given, [])
})
