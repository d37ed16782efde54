import { joinHead } from '../head/index.js'

/** A node for tests: prints `joined`, and ends when its head has gone. */
const node = await joinHead(process.argv[2]!, '127.0.0.1', JSON.parse(process.argv[3] ?? '{}'))
process.stdout.write('joined\n')
process.once('SIGTERM', () => void node.close().finally(() => process.exit(0)))
node.lost.catch(async (error: Error) => {
  await node.close()
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
})
