/** Flags of Node.js that say how modules are found and loaded, with a value. */
const valued = new Set([
  '--import',
  '--require',
  '-r',
  '--loader',
  '--experimental-loader',
  '--conditions',
  '-C',
  '--experimental-specifier-resolution',
])

/** The same without one. */
const plain = new Set([
  '--experimental-strip-types',
  '--no-experimental-strip-types',
  '--experimental-transform-types',
  '--preserve-symlinks',
])

/** The condition under which the packages of this framework export the files of their bundles. A node gives it to its workers. */
export const BUNDLE_CONDITION = 'troupe-bundle'

/** Workers load TypeScript without being told to, and start faster where that is done once it is needed. */
const ownLoader = '@troupe/core/typescript'

/** Filters the flags of a process that its workers need too, so that they load modules as it does. */
export function loaderFlags(flags: readonly string[]): string[] {
  return flags.flatMap((flag, index) => {
    if (isOwn(flag.split('=')) || isOwn(flags.slice(index, index + 2))) return []
    if (plain.has(flag)) return [flag]
    if (valued.has(flag)) return flags.slice(index, index + 2)
    return valued.has(flag.split('=')[0]!) && flag.includes('=') ? [flag] : []
  })
}

/** Whether a flag is one that workers are given by their node, or need not be given. */
function isOwn([flag = '', value]: readonly string[]): boolean {
  if (flag === '--import') return value === ownLoader
  return (flag === '--conditions' || flag === '-C') && value === BUNDLE_CONDITION
}
