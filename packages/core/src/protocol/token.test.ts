import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect as connectSocket, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { Dealer } from 'zeromq'
import { type Head, joinHead, startHead, tokenFile } from '../head/index.js'
import { AccessDeniedError, connect, InvalidInputError } from '../index.js'
import { currentRuntime } from '../runtime/current.js'
import { RemoteCounter } from '../testing/counter.js'
import { introduce } from '../transport/identity.js'
import { LinkLostError } from '../transport/link.js'
import { LocalLink } from '../transport/local-link.js'
import { frameMessage } from '../transport/local-stream.js'
import { Secret } from '../transport/secret.js'

const anywhere = { host: '127.0.0.1', port: 0 }
const stranger = { processId: 'stranger', nodeId: 'elsewhere' }

async function head(t: ExecutionContext, token?: string): Promise<Head> {
  const { title } = process
  const head = await startHead(anywhere, token === undefined ? {} : { token })
  process.title = title
  t.teardown(() => head.close())
  return head
}

/** An empty home folder, and an environment without a token. */
function emptyHome(t: ExecutionContext): void {
  const { HOME, TROUPE_TOKEN } = process.env
  const home = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  process.env.HOME = home
  delete process.env.TROUPE_TOKEN
  t.teardown(() => {
    Object.assign(process.env, { HOME, TROUPE_TOKEN })
    rmSync(home, { recursive: true })
  })
}

test.serial('a head lets in who has its token, and tells everybody else at once what is wrong', async (t) => {
  const { address } = await head(t, 'the right token of it')
  const refusal = { instanceOf: AccessDeniedError, message: /does not accept this token; set TROUPE_TOKEN/ }
  const began = performance.now()
  await t.throwsAsync(() => connect({ address, token: 'a wrong token of it' }), refusal)
  await t.throwsAsync(() => joinHead(address, '127.0.0.1', { token: 'a wrong token of it' }), refusal)
  t.true(performance.now() - began < 9000, 'nobody waits for a time limit')
  await using cluster = await connect({ address, token: 'the right token of it' })
  const counter = await RemoteCounter.spawn(1)
  t.is(await counter.add(1), 2, 'a worker that was given the secret is reached')
  t.is((await cluster.nodes()).length, 1)
})

test.serial('a client that speaks the protocol but not CURVE is not heard', async (t) => {
  const { address } = await head(t, 'the right token of it')
  const routingId = introduce(stranger, new Secret('the right token of it'), 'connecting', `tcp://${address}`)
  const socket = new Dealer({ routingId, linger: 0, receiveTimeout: 300 })
  socket.connect(`tcp://${address}`)
  await t.throwsAsync(() => socket.receive(), { code: 'EAGAIN' })
  socket.close()
})

test.serial('a head makes up a token for those of its user, and refuses a file that others can read', async (t) => {
  emptyHome(t)
  await t.throwsAsync(() => connect({ address: '127.0.0.1:1' }), {
    instanceOf: InvalidInputError,
    message: /joining a cluster needs its token: set TROUPE_TOKEN, or copy .*\.troupe\/token from the host of its head/,
  })
  const { address } = await head(t)
  const token = readFileSync(tokenFile(), 'utf8')
  t.is(statSync(tokenFile()).mode & 0o777, 0o600)
  t.true(token.length > 32)
  const cluster = await connect({ address })
  await cluster.shutdown()
  const second = await head(t)
  t.is(readFileSync(tokenFile(), 'utf8'), token, 'a further head takes the same one')
  chmodSync(tokenFile(), 0o640)
  const refusal = { instanceOf: InvalidInputError, message: /others can read .*chmod 600/ }
  await t.throwsAsync(() => connect({ address: '127.0.0.1:1' }), refusal)
  await (await connect({ address: second.address })).shutdown() // one of this user's own, which lists its secret
  await t.throwsAsync(() => startHead(anywhere), refusal)
  rmSync(tokenFile())
  writeFileSync(tokenFile(), 'short', { mode: 0o600 })
  await t.throwsAsync(() => startHead(anywhere), { message: /a token needs at least 16 characters, found 5/ })
  process.env.HOME = join(process.env.HOME!, 'absent')
  await t.throwsAsync(() => startHead(anywhere), { instanceOf: InvalidInputError, message: /set TROUPE_TOKEN/ })
})

test.serial('a socket of this host answers nobody who does not know the secret of its cluster', async (t) => {
  await using _cluster = await connect()
  const counter = await RemoteCounter.spawn(1)
  await counter.add(1)
  const { secret } = currentRuntime().connections
  const { ipc } = currentRuntime().cluster.head
  const answer = async (text: string) => {
    const socket = connectSocket({ path: ipc.replace('ipc://@', '\0') })
    let received = ''
    socket.setEncoding('latin1').on('data', (data) => {
      received += data
      socket.destroy()
    })
    for (const bytes of frameMessage([{ bytes: Buffer.from(text), attachments: [] }])) socket.write(bytes)
    await once(socket, 'close')
    return received
  }
  t.regex(await answer(introduce(stranger, secret, 'connecting', ipc)), /troupe2/)
  t.is(await answer(introduce(stranger, new Secret('another one'), 'connecting', ipc)), '')
  t.is(await answer(introduce(stranger, secret, 'connecting', `${ipc}x`)), '', 'a proof for another place')
  t.is(await answer(introduce(stranger, secret, 'listening', ipc)), '', 'the proof of the other end')
  t.is(await answer('troupe2 a b 0'), '')
})

test('a process sends nothing to a socket whose owner does not know the secret', async (t) => {
  const endpoint = `ipc://@troupe-test-${process.pid}`
  const secret = new Secret('known to one end')
  const received: string[] = []
  const server = createServer((socket) => {
    socket.on('data', (data) => {
      received.push(data.toString('latin1'))
      socket.write(data) // what the other end says of itself proves nothing of this one
    })
  })
  server.listen({ path: endpoint.replace('ipc://@', '\0') })
  await once(server, 'listening')
  const lost = await new Promise<Error>((resolve) => {
    const link = new LocalLink(endpoint, stranger, secret, { opened() {}, received() {}, lost: resolve }, {})
    link.post({ bytes: Buffer.from('a private message'), attachments: [] })
  })
  t.true(lost instanceof LinkLostError)
  t.regex(lost.message, /is not trusted: it does not know the secret/)
  t.false(received.join('').includes('private'))
  server.close()
})
