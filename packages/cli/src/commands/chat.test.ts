import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { OwnHome } from '../testing/own-home.js'

const troupe = fileURLToPath(new URL('../../bin/troupe.js', import.meta.url))
const stories = fileURLToPath(new URL('../../../../test/models/stories260k', import.meta.url))
const template =
  '{{ bos_token }}{% for m in messages %}{{ m.content }} {% endfor %}{% if add_generation_prompt %}One day,{% endif %}'

test('chat answers the lines of its standard input, one after the other', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  cpSync(stories, folder, { recursive: true })
  writeFileSync(join(folder, 'chat_template.jinja'), template)
  const home = new OwnHome(t)
  const args = ['chat', folder, '--max-tokens', '12', '--temperature', '0', '--threads', '1']
  const ask = (input: string, ...more: string[]) => home.run(input, troupe, ...args, ...more)

  const one = await ask('Lily went to the park.\n')
  t.deepEqual({ code: one.code, stderr: one.stderr }, { code: 0, stderr: '' })
  t.regex(one.stdout, /^[^\n]{10,}\n$/)
  const two = await ask('Lily went to the park.\nThen she slept.\n', '--pipeline', '2')
  t.true(two.stdout.startsWith(one.stdout))
  t.is(two.stdout.split('\n').length, 3)

  const long = await ask(`${'Lily '.repeat(600)}\n`)
  t.is(long.code, 2)
  t.regex(long.stderr, /^error: the prompt has \d+ tokens, but the context holds 512.*\n$/)
})

test('a model without a chat template is refused before it is loaded, with what continues a text', async (t) => {
  const { code, stdout, stderr } = await new OwnHome(t).troupe('chat', stories)
  t.deepEqual({ code, stdout }, { code: 2, stdout: '' })
  t.regex(stderr, /^error: .*stories260k has no chat template.*`troupe generate`.*\n$/)
})
