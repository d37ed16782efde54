import test from 'ava'
import { limitedMemory } from '../testing/container.js'
import { runUnder } from '../testing/programs.js'

test('in a container more than its memory can be put and got again', async (t) => {
  const container = limitedMemory(t, 360e6)
  if (!container) {
    t.log('left out: this user may make no control group with a limit of memory')
    return t.pass()
  }
  const program = runUnder(t, container, 'spill-program.js', '10', '48000000')
  t.is(await program.line(), '10', program.errors())
  t.is(await program.ended, 0, program.errors())
})
