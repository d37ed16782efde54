import { startHead } from '../head/index.js'

/** A head for tests: prints where it listens. */
const head = await startHead(
  { host: '127.0.0.1', port: Number(process.argv[2] ?? 0) },
  JSON.parse(process.argv[3] ?? '{}'),
)
process.stdout.write(`${head.address}\n`)
process.once('SIGTERM', () => void head.close().finally(() => process.exit(0)))
