// A driver of Vulkan that computes on the CPU, for tests of WebGPU: SwiftShader, out of a package that carries a browser for machines
// without one.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliDecompressSync } from 'node:zlib'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const FILES = ['libvk_swiftshader.so', 'libvulkan.so.1', 'vk_swiftshader_icd.json']

/**
 * The environment in which a process finds the driver, which is unpacked at the first call; none where there is none for the machine.
 * With TROUPE_TEST_GPUS=1 tests use the GPUs that there are.
 *
 * @returns {Record<string, string>}
 */
export function softwareGpu() {
  if (process.env.TROUPE_TEST_GPUS === '1' || process.platform !== 'linux' || process.arch !== 'x64') return {}
  const require = createRequire(join(root, 'packages', 'tensor', 'package.json'))
  const entry = require.resolve('@sparticuz/chromium')
  const folder = join(root, 'node_modules', '.troupe-swiftshader')
  if (!existsSync(folder))
    unpack(join(entry.slice(0, entry.lastIndexOf(join('chromium', 'build'))), 'chromium', 'bin'), folder)
  return { LD_LIBRARY_PATH: folder, VK_DRIVER_FILES: join(folder, 'vk_swiftshader_icd.json') }
}

function unpack(packed, folder) {
  const made = `${folder}-${process.pid}`
  mkdirSync(made, { recursive: true })
  const input = brotliDecompressSync(readFileSync(join(packed, 'swiftshader.tar.br')))
  const { status, stderr } = spawnSync('tar', ['-x', '--no-same-owner', '-C', made, ...FILES], {
    input,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`the driver for tests of WebGPU is not unpacked: ${stderr}`)
  try {
    renameSync(made, folder)
  } catch {
    // Another process was first.
    rmSync(made, { recursive: true })
  }
}
