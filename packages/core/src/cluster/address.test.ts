import test from 'ava'
import { InvalidInputError } from '../api/errors.js'
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

test('a name is resolved to the address to listen at', async (t) => {
  t.is(await listenAddress('localhost'), '127.0.0.1')
})
