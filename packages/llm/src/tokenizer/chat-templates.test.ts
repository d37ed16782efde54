import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import test from 'ava'
import { temporaryFolder } from '../testing/files.js'
import { addedToken, tokenizerJson } from '../testing/tokenizer.js'
import { directoryChatFiles, ggufChatFiles } from './chat-templates.js'
import { Tokenizer } from './tokenizer.js'

test('a directory names templates in its configuration, and those in files of their own go before', (t) => {
  const folder = temporaryFolder(t)
  const templates = (config: Record<string, unknown>) =>
    Object.fromEntries(directoryChatFiles(folder, config).templates)
  t.deepEqual(templates({}), {})
  t.deepEqual(templates({ chat_template: 'a' }), { default: 'a' })
  const list = [
    { name: 'default', template: 'a' },
    { name: 'tool_use', template: 'b' },
  ]
  t.deepEqual(templates({ chat_template: list }), { default: 'a', tool_use: 'b' })
  writeFileSync(join(folder, 'chat_template.json'), JSON.stringify({ chat_template: 'c' }))
  t.deepEqual(templates({ chat_template: list }), { default: 'c', tool_use: 'b' })
  writeFileSync(join(folder, 'chat_template.jinja'), 'd')
  mkdirSync(join(folder, 'additional_chat_templates'))
  writeFileSync(join(folder, 'additional_chat_templates', 'tool_use.jinja'), 'e')
  t.deepEqual(templates({ chat_template: list }), { default: 'd', tool_use: 'e' })
  t.throws(() => templates({ chat_template: [{ name: 'default' }] }), {
    instanceOf: InvalidInputError,
    message: /chat_template must be/,
  })
})

test('special tokens are known by the names that templates use, from either file', (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(
    join(folder, 'special_tokens_map.json'),
    JSON.stringify({ eos_token: { content: '</s>' }, bos_token: 'x' }),
  )
  const { specialTokens } = directoryChatFiles(folder, { bos_token: { content: '<s>' }, pad_token: null })
  t.deepEqual(Object.fromEntries(specialTokens), { bos_token: '<s>', eos_token: '</s>' })
  const metadata = new Map<string, number | string>([
    ['tokenizer.ggml.bos_token_id', 1],
    ['tokenizer.chat_template', 'a'],
    ['tokenizer.chat_template.tool_use', 'b'],
  ])
  const gguf = ggufChatFiles(metadata, ['x', '<s>'])
  t.deepEqual(Object.fromEntries(gguf.specialTokens), { bos_token: '<s>' })
  t.deepEqual(Object.fromEntries(gguf.templates), { default: 'a', tool_use: 'b' })
})

test('what a template wrote is not written again, and special tokens show where they are asked for', async (t) => {
  const added = [addedToken(4, '<s>', { special: true }), addedToken(5, '[CALL]', { special: true })]
  const tokenizer = await Tokenizer.from(
    {
      tokenizer: tokenizerJson({
        added_tokens: added,
        decoder: { type: 'Fuse' },
        post_processor: {
          type: 'TemplateProcessing',
          single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
          pair: [],
          special_tokens: { '<s>': { id: '<s>', ids: [4], tokens: ['<s>'] } },
        },
      }),
      config: {},
    },
    'tokenizer.json',
  )
  t.deepEqual(await tokenizer.encode('ab'), [4, 3])
  t.deepEqual(await tokenizer.encode('<s>ab[CALL]', { addSpecialTokens: false }), [4, 3, 5])
  const read = (shown: string[]) => {
    const stream = tokenizer.stream([], shown)
    return [4, 3, 5, 0].map((token) => stream.push(token)).join('') + stream.end()
  }
  t.is(read([]), 'aba')
  t.is(read(['[CALL]']), 'ab[CALL]a')
  t.deepEqual([...tokenizer.bytesOf(5)], [...Buffer.from('[CALL]')])
  t.deepEqual([...tokenizer.bytesOf(77)], [])
})
