import test from 'ava'
import { container } from '../testing/container.js'
import { runUnder } from '../testing/programs.js'

test('in a container more than its memory can be put and got again', async (t) => {
  const small = container(t, 'memory', 360e6)
  if (!small) return t.pass()
  const program = runUnder(t, small, 'spill-program.js', '10', '48000000')
  t.is(await program.line(), '10', program.errors())
  t.is(await program.ended, 0, program.errors())
})
