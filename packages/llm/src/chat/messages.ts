/** A JSON Schema (draft 2020-12), as plain data. */
export type JsonSchema = boolean | { readonly [keyword: string]: unknown }

/** A part of a message's content. Only text can be read by the models that are run here. */
export interface TextPart {
  type: 'text'
  text: string
}

/** A message of a chat. */
export type ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage

/** Instructions to the model. `developer` is the newer name of the same role. */
export interface SystemMessage {
  role: 'system' | 'developer'
  content: string | readonly TextPart[]
}

/** What the user says. */
export interface UserMessage {
  role: 'user'
  content: string | readonly TextPart[]
}

/** What the model said. */
export interface AssistantMessage {
  role: 'assistant'
  content: string | null
  /** What it thought before it answered, without the marks around it. */
  reasoning?: string
  toolCalls?: readonly ToolCall[]
}

/** What a tool gave. */
export interface ToolMessage {
  role: 'tool'
  content: string | readonly TextPart[]
  /** The call that it answers. */
  toolCallId: string
}

/** A call of a tool by the model. */
export interface ToolCall {
  id: string
  name: string
  /** A JSON object, as the model wrote it. */
  arguments: string
}

/** A tool that the model may call. */
export interface Tool {
  name: string
  description?: string
  /** Of its arguments, an object; none by default. */
  parameters?: JsonSchema
  /** Whether the model is held to the schema. Default false. */
  strict?: boolean
}

/** Which tools the model may call: as it likes, none, at least one, or this one. */
export type ToolChoice = 'auto' | 'none' | 'required' | { name: string }

/** What is added to a call of a tool; the first of a call has its id and its name. */
export interface ToolCallDelta {
  /** The place of the call among those of the message. */
  index: number
  id?: string
  name?: string
  arguments?: string
}
