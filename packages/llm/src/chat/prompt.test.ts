import { InvalidInputError } from '@troupe/core'
import test from 'ava'
import type { ChatMessage } from './messages.js'
import { ChatPrompts } from './prompt.js'

const open = (templates: string | Record<string, string>, specialTokens: Record<string, string> = {}) =>
  new ChatPrompts(
    {
      templates: new Map(Object.entries(typeof templates === 'string' ? { default: templates } : templates)),
      specialTokens: new Map(Object.entries(specialTokens)),
    },
    'the model',
  )
const user: ChatMessage = { role: 'user', content: 'Hi' }
const parts: ChatMessage = {
  role: 'user',
  content: [
    { type: 'text', text: 'a' },
    { type: 'text', text: 'b' },
  ],
}

test('content is given as the template reads it: as text, as parts, or as what the caller has', (t) => {
  const asText = open('{% for m in messages %}{{ m.content }}{% endfor %}')
  t.is(asText.render([user, parts]), 'Hia\nb')
  const asParts = open('{% for m in messages %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endfor %}')
  t.is(asParts.render([user, parts]), '[Hi][a][b]')
  const asBoth = open(
    '{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endif %}{% endfor %}',
  )
  t.is(asBoth.render([user, parts]), 'Hi[a][b]')
})

test('a developer is the system where the template does not know one', (t) => {
  const messages: ChatMessage[] = [{ role: 'developer', content: 'x' }]
  t.is(open('{{ messages[0].role }}').render(messages), 'system')
  t.is(open('{# developer #}{{ messages[0].role }}').render(messages), 'developer')
})

test('chats with tools take the template for them', (t) => {
  const prompts = open({ default: 'plain', tool_use: '{{ tools[0] | tojson }}' })
  t.is(prompts.render([user]), 'plain')
  t.is(
    prompts.render([user], { tools: [{ name: 'now' }] }),
    '{"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}',
  )
  t.is(open({ rag: 'only' }).render([user]), 'only')
  t.throws(() => open('plain').render([user], { tools: [{ name: 'now' }] }), { message: /has no place for tools/ })
})

test('special tokens and variables of the caller are there, and his go before', (t) => {
  const template = '{{ bos_token }}{{ sep_token }}{{ who }}{{ strftime_now("%Y") if dated }}{{ range }}'
  const prompts = open(template, { bos_token: '<s>' })
  t.is(prompts.render([user], { templateVariables: { who: 'me', range: 'r' } }), '<s>mer')
  const year = prompts.render([user], { templateVariables: { dated: true, range: '' } })
  t.regex(year, /^<s>\d{4}$/)
})

test('ids of calls become what the template takes, alike for a call and its answer', (t) => {
  const messages: ChatMessage[] = [
    { role: 'assistant', content: null, toolCalls: [{ id: 'call_1234567890', name: 'now', arguments: '' }] },
    { role: 'tool', toolCallId: 'call_1234567890', content: 'late' },
  ]
  const template = (more: string) =>
    `${more}{{ messages[0].tool_calls[0].id }} {{ messages[1].tool_call_id }} {{ messages[1].name }}`
  t.is(open(template('')).render(messages), 'call_1234567890 call_1234567890 now')
  const short = open(
    template('{% if messages[0].tool_calls[0].id | length != 9 %}{{ raise_exception("9!") }}{% endif %}'),
  )
  t.regex(short.render(messages), /^([a-zA-Z0-9]{9}) \1 now$/)
})

test('the last message is continued, as it is or as the template trims it', (t) => {
  const messages: ChatMessage[] = [user, { role: 'assistant', content: 'Once upon ' }]
  const template = (content: string) =>
    `{% for m in messages %}{{ m.role }}: {{ ${content} }}<end>{% endfor %}{{ "it:" if add_generation_prompt }}`
  t.is(open(template('m.content')).render(messages, { continueLast: true }), 'user: Hi<end>assistant: Once upon ')
  t.is(open(template('m.content | trim')).render(messages, { continueLast: true }), 'user: Hi<end>assistant: Once upon')
  t.throws(() => open('{{ messages[0].content }}').render(messages, { continueLast: true }), {
    instanceOf: InvalidInputError,
    message: /cannot be continued/,
  })
  t.throws(() => open('x').render([{ role: 'assistant', content: null }], { continueLast: true }), {
    message: /does not show the last message|needs a last message/,
  })
})

test('a template that raises, cannot be read, is missing or does not end is an error with what it says', (t) => {
  const refused = (prompts: ChatPrompts, message: RegExp) =>
    t.throws(() => prompts.render([user]), { instanceOf: InvalidInputError, message })
  refused(
    open('{{ raise_exception("users come second") }}'),
    /^the chat template of the model refuses .*: users come second$/,
  )
  refused(open('{% if %}'), /^the chat template of the model cannot be read: /)
  refused(open({}), /^the model has no chat template; add chat_template.jinja/)
  refused(open({ a: 'x', b: 'y' }), /^the model has no chat template named default, only a, b/)
  refused(open('{% for a in range(100001) %}{% endfor %}'), /range\(\) gives at most 100000/)
  refused(open('{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}'), /does not end within/)
  refused(open('{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}'), /refuses the messages: /)
})
