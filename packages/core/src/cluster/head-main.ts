import '../runtime/tuning.js'
import { HEAD_VARIABLE, type HeadBoot } from './boot.js'
import { Head } from './head.js'
import { followParent } from './lifeline.js'
import { HEAD_TITLE } from './title.js'

const boot = JSON.parse(process.env[HEAD_VARIABLE] ?? '') as HeadBoot
delete process.env[HEAD_VARIABLE]
process.title = HEAD_TITLE
// The driver's stderr may be closed before the driver ends.
process.stderr.on('error', () => {})
await followParent(boot.parentPid)

const head = await Head.start(boot)
head.onLeft = () => void head.close().finally(() => process.exit(0))
