import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { connect, type ObjectRef, wait } from '@troupe/core'
import { RemoteHolder } from './holder.js'
import { RemoteProbe } from './probe.js'

/**
 * A driver for tests that uses the refs of calls that fail in every way, and in one not at all. Its arguments: what becomes of
 * the failure of that one, and whether it tells when the ref is `collected` or when the process `ends`.
 */
const [, , unawaitedFailures, when] = process.argv
const cluster = await connect({ unawaitedFailures: unawaitedFailures as 'warn' })
const [probe, holder] = await Promise.all([
  RemoteProbe.options({ name: 'careless' }).spawn(),
  RemoteHolder.options({ name: 'holder' }).spawn(),
])

const fail = () => probe.throwOddError() as ObjectRef<unknown>
await fail().catch(() => {})
const late = fail()
await wait([fail()])
fail().release()
await holder.keep({ refs: [fail() as never] })
await probe.echo(fail()).catch(() => {})
fail().cancel()
await probe.echo(1)
await late.catch(() => {})

void probe.throwTypeError()
void probe.throwTypeError()
void probe.see({ unsendable() {} })
await probe.echo(1)
if (when === 'collected') {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc')
  for (let left = 100; left > 0; left--) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  process.stdout.write('lived\n')
}
await cluster.shutdown()
process.stdout.write('ends\n')
