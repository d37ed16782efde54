import '../runtime/tuning.js'
import { type HeadBoot, receiveBoot } from './boot.js'
import { Head } from './head.js'
import { followParent } from './lifeline.js'
import { HEAD_TITLE } from './title.js'

const boot = receiveBoot<HeadBoot>()
process.title = HEAD_TITLE
// The driver's stderr may be closed before the driver ends.
process.stderr.on('error', () => {})
await followParent(boot.parentPid)

const head = await Head.start(boot)
head.onLeft = () => void head.close().finally(() => process.exit(0))
