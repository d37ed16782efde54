import { listDevices } from '@troupe/tensor'
import { command } from '../command.js'
import { table } from '../table.js'

/** `troupe devices`: lists where tensors can be and programs can run on this host, and what is missing for more. */
export const devices = command({
  name: 'devices',
  summary: 'List the devices of this host that models can run on, and what is missing for others',
  options: {
    json: { type: 'boolean', help: 'print one JSON object a kind of devices' },
  },
  async run(options) {
    const reports = await listDevices()
    if (options.json) {
      for (const report of reports) process.stdout.write(`${JSON.stringify(report)}\n`)
      return
    }
    const rows = reports.flatMap((report) => report.devices.map(({ name, description }) => [name, description]))
    process.stdout.write(`${table(['device', 'what it is'], rows)}\n`)
    const missing = reports.flatMap((report) =>
      report.missing === undefined ? [] : `${report.kind}: ${report.missing}`,
    )
    if (missing.length > 0) process.stdout.write(`\nmissing\n${missing.join('\n')}\n`)
  },
})
