import { onParentEnd } from '../node/lifeline.js'
import { type HeadBoot, receiveBoot } from '../protocol/boot.js'
import { HEAD_TITLE } from '../protocol/title.js'
import { tune } from '../runtime/tuning.js'
import { Head } from './head.js'

/**
 * Milliseconds that the end of a cluster may take, should a limit of something it waits for not hold: fewer than its driver
 * waits.
 */
const END_TIMEOUT = 110_000

tune()
const boot = receiveBoot<HeadBoot>()
process.title = HEAD_TITLE
// The driver's stderr may be closed before the driver ends.
process.stderr.on('error', () => {})

let isLimited = false
let isEnding = false

const head = await Head.start(boot)
head.onLeaving = limitEnd
head.onLeft = end
// The actors of a driver that ends in whatever way still run their onStop.
onParentEnd(end)

function end(): void {
  if (isEnding) return
  isEnding = true
  limitEnd()
  void head.close().finally(() => process.exit(0))
}

function limitEnd(): void {
  if (isLimited) return
  isLimited = true
  setTimeout(() => {
    const text = `the cluster has not ended within ${END_TIMEOUT / 1000} s and is killed; its workers: ${head.running}`
    process.stderr.write(`[troupe] ${text}\n`)
    process.kill(process.pid, 'SIGKILL')
  }, END_TIMEOUT).unref()
}
