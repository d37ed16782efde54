import { z } from 'zod'
import { badRequest } from './http/api-error.js'
import type { App, Service } from './http/service.js'
import { chatBody, chatOf } from './openai/chat-body.js'

const { messages, tools, chat_template_kwargs, continue_final_message } = chatBody.shape

const tokenizeBody = z.object({
  model: z.string().nullish(),
  prompt: z.string().nullish(),
  messages: messages.nullish(),
  ...{ tools, chat_template_kwargs, continue_final_message },
})

const detokenizeBody = z.object({ model: z.string().nullish(), tokens: z.array(z.int().min(0)) })

/** `POST /tokenize`, of a text or of a chat, and `POST /detokenize`. */
export function textRoutes(app: App, service: Service): void {
  const { model } = service
  app.post(
    '/tokenize',
    { schema: { body: tokenizeBody, tags: ['Text'], summary: 'The tokens of a text, or of a chat' } },
    async ({ body: { model: name, prompt, messages: given, ...others } }) => {
      if (name) service.checkModel(name)
      if ((typeof prompt === 'string') === Array.isArray(given)) {
        throw badRequest('expected either prompt, a text, or messages, a chat', 'prompt')
      }
      const tokens = given ? await tokensOf(given, others) : await model.tokenizer.encode(prompt!)
      return { tokens, count: tokens.length, max_model_len: model.contextLength }
    },
  )
  app.post(
    '/detokenize',
    { schema: { body: detokenizeBody, tags: ['Text'], summary: 'The text of tokens' } },
    async ({ body: { model: name, tokens } }) => {
      if (name) service.checkModel(name)
      return { prompt: model.tokenizer.decode(tokens) }
    },
  )

  async function tokensOf(given: z.infer<typeof messages>, others: object): Promise<number[]> {
    const { messages: chat, params } = chatOf({ model: model.name, messages: given, ...others })
    return (await model.chatPrompt(chat, params)).tokens
  }
}
