import test from 'ava'
import { loaderFlags } from './loader-flags.js'

test('workers get the flags that say how modules are loaded, and no others', (t) => {
  const flags = [
    '--inspect',
    '--import',
    'tsx',
    '--max-old-space-size=64',
    '--loader=ts-node/esm',
    '-C',
    'source',
    '-p',
  ]
  t.deepEqual(loaderFlags(flags), ['--import', 'tsx', '--loader=ts-node/esm', '-C', 'source'])
  t.deepEqual(loaderFlags(['--experimental-strip-types', '-r', './a.cjs']), [
    '--experimental-strip-types',
    '-r',
    './a.cjs',
  ])
  t.deepEqual(loaderFlags(['--import', '@troupe/core/typescript', '--import=@troupe/core/typescript']), [])
  t.deepEqual(loaderFlags(['--conditions=troupe-bundle', '-C', 'troupe-bundle', '-C', 'source']), ['-C', 'source'])
  t.deepEqual(loaderFlags([]), [])
})
