import '../runtime/tuning.js'
import { type HeadBoot, receiveBoot } from './boot.js'
import { Head } from './head.js'
import { onParentEnd } from './lifeline.js'
import { HEAD_TITLE } from './title.js'

/** Milliseconds that the end of a cluster may take, should one of the limits of what it waits for not hold. */
const END_TIMEOUT = 110_000

const boot = receiveBoot<HeadBoot>()
process.title = HEAD_TITLE
// The driver's stderr may be closed before the driver ends.
process.stderr.on('error', () => {})

const head = await Head.start(boot)
head.onLeft = end
// The actors of a driver that ends in whatever way still run their onStop.
onParentEnd(end)

let isEnding = false

function end(): void {
  if (isEnding) return
  isEnding = true
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), END_TIMEOUT).unref()
  void head.close().finally(() => process.exit(0))
}
