import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { withDownloadProgress, withLoadProgress } from './progress.js'

function output(isTTY: boolean): NodeJS.WriteStream {
  return Object.assign(new PassThrough(), { isTTY, columns: 80 }) as unknown as NodeJS.WriteStream
}

async function shown(stream: NodeJS.WriteStream): Promise<string> {
  stream.end()
  return text(stream as unknown as PassThrough)
}

test('on a terminal, loading shows a bar from nothing to all, of which the last state stays', async (t) => {
  const terminal = output(true)
  const result = await withLoadProgress(terminal, async ({ onLoadProgress }) => {
    onLoadProgress!({ loadedBytes: 0, totalBytes: 4e6 })
    onLoadProgress!({ loadedBytes: 1e6, totalBytes: 4e6 })
    onLoadProgress!({ loadedBytes: 4e6, totalBytes: 4e6 })
    return 7
  })
  t.is(result, 7)
  const drawn = await shown(terminal)
  t.regex(drawn, /0 % {2}0 B of 4\.0 MB {2}loaded.*100 % {2}4\.0 MB of 4\.0 MB {2}loaded[^░█]*$/)
})

test('a bar ends with the loading that fails, and none is begun by loading that tells nothing', async (t) => {
  const terminal = output(true)
  const failing = withLoadProgress(terminal, async ({ onLoadProgress }) => {
    onLoadProgress!({ loadedBytes: 1, totalBytes: 2 })
    throw new Error('no memory')
  })
  await t.throwsAsync(failing, { message: 'no memory' })
  t.regex(await shown(terminal), /50 % {2}1 B of 2 B {2}loaded/)
  const silent = output(true)
  await withLoadProgress(silent, async () => {})
  t.is(await shown(silent), '')
})

test('elsewhere loading shows nothing, and a download some lines', async (t) => {
  const file = output(false)
  await withLoadProgress(file, async (options) => t.deepEqual(options, {}))
  await withDownloadProgress(file, async (onProgress) => {
    for (let bytes = 0; bytes <= 100; bytes++) {
      onProgress({ file: 'x', bytes, totalBytes: 100, bytesPerSecond: 1000 })
    }
  })
  const lines = (await shown(file)).trim().split('\n')
  t.is(lines.length, 11)
  t.is(lines[5], 'fetched 50 B of 100 B, 50 %, 1.0 kB/s')
})

test('on a terminal, a download shows a bar with its speed and its file', async (t) => {
  const terminal = output(true)
  await withDownloadProgress(terminal, async (onProgress) =>
    onProgress({ file: 'model.safetensors', bytes: 5e5, totalBytes: 1e6, bytesPerSecond: 2e6 }),
  )
  t.regex(await shown(terminal), /50 % {2}500\.0 kB of 1\.0 MB {2}2\.0 MB\/s {2}model\.safetensors/)
})
