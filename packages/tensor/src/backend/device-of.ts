import type { Device } from '../device.js'
import type { TracedProgram } from './backend.js'

/**
 * The device that a program runs on: the one asked for, or where its constants are that are not on the host.
 * @throws TypeError for constants on another device, and for what a program of another device than the CPU cannot take from
 * the host: what its operations write to, and packed weights; or from the device: what operations of the host read.
 */
export function deviceOf(
  { values, operations }: TracedProgram,
  wanted: Device | undefined,
  isOfTheHost: (operation: string, device: Device) => boolean,
): Device {
  const elsewhere = values.flatMap(({ tensor }) => (tensor && tensor.device !== 'cpu' ? [tensor.device] : []))
  const device = wanted ?? elsewhere[0] ?? 'cpu'
  const stranger = elsewhere.find((found) => found !== device)
  if (stranger) {
    throw new TypeError(`a program of ${device}: found a constant on ${stranger}: copy it with to('${device}')`)
  }
  if (device === 'cpu') return device
  if (values.some(({ isPacked }) => isPacked)) {
    throw new TypeError(
      `a program of ${device}: found a packed weight, which only programs of the CPU take: give the tensor`,
    )
  }
  for (const { name, inputs, written } of operations) {
    if (isOfTheHost(name, device) && inputs.some(({ tensor }) => tensor && tensor.device !== 'cpu')) {
      throw new TypeError(
        `a program of ${device}: ${name}, which the host does, takes tensors on the host, found one on ${device}: copy it with to('cpu')`,
      )
    }
    if (written?.tensor?.device !== 'cpu' || isOfTheHost(name, device)) continue
    const remedy = `make it with Tensor.zeros(…, { device: '${device}' })`
    throw new TypeError(`a program of ${device}: ${name} writes to a tensor on the host: ${remedy}`)
  }
  return device
}
