import '../runtime/tuning.js'
import { type HeadBoot, receiveBoot } from './boot.js'
import { Head } from './head.js'
import { onParentEnd } from './lifeline.js'
import { STOP_TIMEOUT } from './protocol.js'
import { HEAD_TITLE } from './title.js'

/** Milliseconds that the end of a cluster may take beside the onStop of its actors. */
const END_GRACE = 5000

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
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), STOP_TIMEOUT + END_GRACE).unref()
  void head.close().finally(() => process.exit(0))
}
