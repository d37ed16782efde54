import test from 'ava'
import { InvalidInputError } from '../common/errors.js'
import { listenAddress, parseAddress } from './address.js'

test('an address is HOST:PORT', (t) => {
  t.deepEqual(parseAddress('127.0.0.1:6380'), { host: '127.0.0.1', port: 6380 })
  t.deepEqual(parseAddress('node-1.example:1'), { host: 'node-1.example', port: 1 })
})

test('anything else is refused, and quoted', (t) => {
  for (const address of ['', 'host', 'host:', ':80', 'host:0', 'host:65536', 'host:80x', 'a b:80', 'http://host:80']) {
    const message = `expected an address as HOST:PORT, found ${JSON.stringify(address)}`
    t.throws(() => parseAddress(address), { instanceOf: InvalidInputError, message })
  }
})

test('an IPv6 address is refused as such, to listen at and to connect to', async (t) => {
  const refusal = {
    instanceOf: InvalidInputError,
    message: /is an IPv6 address, which is not supported; give an IPv4 address/,
  }
  for (const host of ['::1', '[::1]', 'fe80::1%eth0']) await t.throwsAsync(() => listenAddress(host), refusal)
  t.throws(() => parseAddress('[::1]:6380'), refusal)
})

test('a name is resolved to the address to listen at', async (t) => {
  t.is(await listenAddress('localhost'), '127.0.0.1')
})
