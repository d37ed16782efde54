import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A folder that the test it is made for removes at its end. */
export function temporaryFolder(t: { teardown(undo: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

/** The bytes of a safetensors file with this header and these data bytes. */
export function safetensors(header: unknown, data: Uint8Array = new Uint8Array()): Uint8Array {
  const json = typeof header === 'string' ? header : JSON.stringify(header)
  // As the safetensors library writes it, so that tensors are aligned.
  const text = new TextEncoder().encode(json.padEnd(Math.ceil(json.length / 8) * 8))
  const bytes = new Uint8Array(8 + text.length + data.length)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true)
  bytes.set(text, 8)
  bytes.set(data, 8 + text.length)
  return bytes
}

/** Writes tensors, given as shape, type and bytes, to a safetensors file. */
export function writeSafetensors(
  path: string,
  tensors: Record<string, { dtype: string; shape: number[]; bytes: Uint8Array }>,
): void {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
  const parts: Uint8Array[] = []
  let at = 0
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] }
    parts.push(bytes)
    at += bytes.length
  }
  writeFileSync(path, safetensors(header, Buffer.concat(parts)))
}
