import { pathToFileURL } from 'node:url'
import { connect } from '@troupe/core'

/** A driver for tests: prints what a task of the module `reader.js` in its working directory reads. */
const [, , address, directory] = process.argv
const cluster = await connect({ address: address!, workingDirectory: directory! })
const { remoteRead } = await import(pathToFileURL(`${directory}/reader.js`).href)
process.stdout.write(`${JSON.stringify(await remoteRead())}\n`)
await cluster.shutdown()
