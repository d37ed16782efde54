import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { ProcessGuard, root } from './support/processes.js'

const folder = join(root, 'examples', 'src')

const outputs: [string, RegExp][] = [
  ['counter', /^15\n16\n17\n18\n11\n$/],
  ['data-parallel', /^(2\.00 -3\.00 0\.50\n){3}$/],
  ['filter-between-stages', /^Once upon a time, .{20,}\n24 tokens, all within bounds\n$/],
  ['image-pipeline', /^7 11 15\n23 27 31\n$/],
  ['map-reduce', /^the 4\ncat 3\na 2\n$/],
  ['model-pipeline', /^layers 0 to 3\nlayers 4 to 7\nOnce upon a time, .{20,}\n$/],
  ['parameter-server', /^2\.00 -3\.00 0\.50\n$/],
  ['ring', /^0 30 20 10\n10 0 30 20\n20 10 0 30\n30 20 10 0\n$/],
  ['speculative-decoding', /^Once upon a time, (.|\n){80,}\n60 tokens in fewer than 30 steps: true\n$/],
  ['stories', /^(".{40,}"\n){3}, .{20,}\nstop\n$/],
  ['streaming', /^20\.0\ntrue\n$/],
  ['two-nodes', /^10 10 10 10 on 1 node\n$/],
  ['supervised-tree', /^11 in life \d\n12 in life 1\n13 in life 2\n2 workers ended with their parent\n$/],
]

for (const [name, output] of outputs) {
  test.serial(`the example ${name} runs and prints what it should`, async (t) => {
    const guard = new ProcessGuard(t)
    const end = await guard.run(process.execPath, [join(root, 'examples', 'dist', `${name}.js`)]).finished
    t.is(end.status, 0, end.stderr)
    t.regex(end.stdout, output)
  })
}

test.serial('the example named-service is started by one driver and found by a second', async (t) => {
  const guard = new ProcessGuard(t)
  const head = guard.troupe('start', '--head', '--port', '0')
  const [, address] = await head.printed(/listening on (\S+:\d+)/)
  const service = join(root, 'examples', 'dist', 'named-service.js')
  const first = await guard.run(process.execPath, [service, address!, 'ada']).finished
  t.is(first.stdout, 'ada\n', first.stderr)
  const second = await guard.run(process.execPath, [service, address!, 'grace']).finished
  t.is(second.stdout, 'ada, grace\n', second.stderr)
  head.child.kill('SIGTERM')
  await head.finished
})

test.serial('the example two-nodes gives the same over two nodes that meet over TCP', async (t) => {
  const guard = new ProcessGuard(t)
  const head = guard.troupe('start', '--head', '--port', '0')
  const [, address] = await head.printed(/listening on (\S+:\d+)/)
  const node = guard.troupe('start', '--join', address!)
  await node.printed(/joined/)
  const end = await guard.run(process.execPath, [join(root, 'examples', 'dist', 'two-nodes.js'), address!]).finished
  t.is(end.stdout, '10 10 10 10 on 2 nodes\n', end.stderr)
  head.child.kill('SIGTERM')
  await Promise.all([head.finished, node.finished])
})

test('every example is under 60 lines', (t) => {
  for (const file of readdirSync(folder)) {
    t.true(readFileSync(join(folder, file), 'utf8').split('\n').length <= 60, file)
  }
})
