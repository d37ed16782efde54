import { readFileSync } from 'node:fs'
import test from 'ava'
import { dequantize } from './dequantize.js'
import { FORMATS, type FormatName, type QuantizedFormat, unsoundBlock } from './formats.js'
import { type LoadFormat, quantize } from './quantize.js'

// Written by fixtures/make_quantized_blocks.py with the `gguf` Python package.
const fixture = JSON.parse(readFileSync(new URL('../../fixtures/quantized-blocks.json', import.meta.url), 'utf8'))
const bytesFrom = (text: string) => Uint8Array.from(Buffer.from(text, 'base64'))
const bitsOf = (values: Float32Array) => new Uint32Array(values.buffer)

for (const [name, { bytes, values }] of Object.entries<{ bytes: string; values: string }>(fixture.dequantized)) {
  test(`${name}: random blocks dequantize to the numbers of the gguf package, bit for bit`, (t) => {
    const found = dequantize(name as FormatName, bytesFrom(bytes))
    t.deepEqual(bitsOf(found), new Uint32Array(bytesFrom(values).buffer))
  })
}

for (const name of ['Q8_0', 'Q4_0'] as LoadFormat[]) {
  test(`${name}: rows of any size quantize to the blocks of the gguf package, bit for bit`, (t) => {
    const rows = new Float32Array(bytesFrom(fixture.quantized.values).buffer)
    t.deepEqual(quantize(name, rows), bytesFrom(fixture.quantized[name]))
  })
}

test('a block with an infinite scale or one that is no number is found, whichever scale it is', (t) => {
  for (const [name, { blockBytes, scales }] of Object.entries(FORMATS)) {
    for (const offset of scales) {
      for (const bits of [0x7c00, 0xfc00, 0x7e01]) {
        const blocks = new Uint8Array(3 * blockBytes)
        t.is(unsoundBlock(name as QuantizedFormat, blocks), -1)
        new DataView(blocks.buffer).setUint16(2 * blockBytes + offset, bits, true)
        t.is(unsoundBlock(name as QuantizedFormat, blocks), 2)
      }
    }
  }
})
