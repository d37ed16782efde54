import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { basename, join } from 'node:path'
import { root } from './processes.js'

const build = join(root, 'native', 'build')

/** The test double of NCCL and of the CUDA driver, compiled if it has changed: what TROUPE_NCCL and TROUPE_CUDA take. */
export function gpuDouble(): string {
  const folder = join(root, 'native', 'test', 'gpu_double')
  const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(cc|h)$/.test(name))
    .sort()
  const hash = createHash('sha256')
  for (const name of sources) hash.update(readFileSync(join(folder, name)))
  const library = join(build, `gpu-double-${hash.digest('hex').slice(0, 12)}.so`)
  if (existsSync(library)) return library
  mkdirSync(build, { recursive: true })
  const made = `${library}.${process.pid}`
  const files = sources.filter((name) => name.endsWith('.cc')).map((name) => join(folder, name))
  const device = `-DGPU_DOUBLE_DEVICE="${join(folder, 'device')}"`
  execFileSync('c++', ['-std=c++17', '-O1', '-shared', '-fPIC', '-pthread', device, ...files, '-o', made, '-ldl'])
  renameSync(made, library)
  return library
}

/**
 * The real NCCL: what TROUPE_TEST_NCCL names, or what a Python wheel on this machine holds, which is unpacked. Undefined
 * where there is neither.
 */
export function realNccl(): string | undefined {
  if (process.env.TROUPE_TEST_NCCL) return process.env.TROUPE_TEST_NCCL
  const wheel = findWheel()
  if (!wheel) return undefined
  const folder = join(build, basename(wheel, '.whl'))
  const library = join(folder, 'nvidia', 'nccl', 'lib', 'libnccl.so.2')
  if (existsSync(library)) return library
  const unpacking = `${folder}.${process.pid}`
  execFileSync('python3', ['-m', 'zipfile', '-e', wheel, unpacking])
  renameSync(unpacking, folder)
  return library
}

function findWheel(): string | undefined {
  try {
    const found = execFileSync('find', ['/', '-xdev', '-name', 'nvidia_nccl_cu*.whl', '-print', '-quit'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return found.trim() || undefined
  } catch (error) {
    return (error as { stdout?: string }).stdout?.trim() || undefined // find fails where it may not look
  }
}
