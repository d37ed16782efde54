import { readFileSync } from 'node:fs'
import { InvalidInputError } from '@troupe/core'
import test from 'ava'
import type { ChatMessage } from './messages.js'
import { ChatPrompts, type PromptOptions } from './prompt.js'

interface Renderings {
  specialTokens: Record<string, string>
  templates: Record<string, string>
  chats: Record<string, PromptOptions & { messages: ChatMessage[] }>
  cases: { template: string; chat: string; text?: string; error?: string }[]
}

const path = new URL('../../src/chat/renderings/renderings.json', import.meta.url)
const { specialTokens, templates, chats, cases } = JSON.parse(readFileSync(path, 'utf8')) as Renderings

test('chats are rendered as transformers renders them, by templates with the constructs of published ones', (t) => {
  t.true(cases.length >= 50)
  for (const { template, chat, text, error } of cases) {
    const files = {
      templates: new Map([['default', templates[template]!]]),
      specialTokens: new Map(Object.entries(specialTokens)),
    }
    const { messages, ...options } = chats[chat]!
    const render = () => new ChatPrompts(files, 'the model').render(messages, options)
    if (text === undefined) {
      const raised = t.throws(render, { instanceOf: InvalidInputError }, `${template} ${chat}`)
      t.true(raised?.message.includes(error!), `${template} ${chat}: ${raised?.message}`)
    } else {
      t.is(render(), text, `${template} ${chat}`)
    }
  }
})
