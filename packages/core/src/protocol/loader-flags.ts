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

/** Workers load TypeScript without being told to, and start faster where that is done once it is needed. */
const ownLoader = '@troupe/core/typescript'

/** Filters the flags of a process that its workers need too, so that they load modules as it does. */
export function loaderFlags(flags: readonly string[]): string[] {
  return flags.flatMap((flag, index) => {
    if (flag === `--import=${ownLoader}` || (flag === '--import' && flags[index + 1] === ownLoader)) return []
    if (plain.has(flag)) return [flag]
    if (valued.has(flag)) return flags.slice(index, index + 2)
    return valued.has(flag.split('=')[0]!) && flag.includes('=') ? [flag] : []
  })
}
