import { connect } from '@troupe/core'
import { RemoteLodger } from './lodger.js'

/** A driver for tests whose actors write lines, which then shuts its own cluster down, or waits in that of another. */
const [, , address] = process.argv
const cluster = await connect(address ? { address } : {})
const [plain, prefixed, bare] = await Promise.all([
  RemoteLodger.options({ name: 'plain' }).spawn(),
  RemoteLodger.options({ name: 'prefixed', logPrefix: 'shop | ', isolation: 'thread' }).spawn(),
  RemoteLodger.options({ name: 'bare', logPrefix: '' }).spawn(),
])
await plain.print('once', 'again', 'again', 'again', 'done')
await prefixed.print('tidy')
await bare.print('naked')
const many = await RemoteLodger.options({ logPrefix: 'mesh | ' }).spawnMesh({ member: 3 })
await many.call('print', 'in unison')
process.stdout.write(`${JSON.stringify(await cluster.logs('plain'))}\n`)
if (address === undefined) await cluster.shutdown()
else setInterval(() => {}, 60_000)
