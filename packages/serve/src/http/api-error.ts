import { InvalidInputError } from '@troupe/core'
import { ContextLengthError, InvalidParameterError } from '@troupe/llm'
import type { FastifyError } from 'fastify'

/** An answer that is no success: its status, and what the client is told. */
export class ApiError extends Error {
  override readonly name = 'ApiError'

  /**
   * @param status the HTTP status
   * @param code a word that programs can tell the error by, as OpenAI's API names it
   * @param param the field of the body that is wrong
   * @param headers further headers of the answer
   */
  constructor(
    readonly status: number,
    message: string,
    readonly code: string | null = null,
    readonly param: string | null = null,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message)
  }
}

/** A field of the body is wrong. */
export function badRequest(message: string, param: string | null = null): ApiError {
  return new ApiError(400, message, 'invalid_value', param)
}

/** What APIs call parameters, where that is not their name in words with underscores. */
const FIELDS: Readonly<Record<Api, Readonly<Record<string, string>>>> = {
  openai: {
    stopTokens: 'stop_token_ids',
    ignoreEnd: 'ignore_eos',
    logProbs: 'top_logprobs',
    structure: 'response_format',
  },
  anthropic: { stop: 'stop_sequences', structure: 'output_config' },
}

/**
 * What the client of an API is told of an error: of one that is not its own fault, nothing but that it happened.
 * Parameters are called what the API calls them.
 */
export function apiErrorOf(error: unknown, api: Api): ApiError {
  if (error instanceof ApiError) return error
  if (error instanceof ContextLengthError) return new ApiError(400, error.message, 'context_length_exceeded')
  if (error instanceof InvalidParameterError) {
    const fieldOf = (name: string) =>
      FIELDS[api][name] ?? name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    return badRequest(error.messageWith(fieldOf), fieldOf(error.parameter))
  }
  if (error instanceof InvalidInputError) return new ApiError(400, error.message, 'invalid_value')
  return (
    ofFramework(error as Partial<FastifyError>) ?? new ApiError(500, 'the server failed to answer; its log says why')
  )
}

/** The errors of HTTP itself. */
function ofFramework({ code, statusCode }: Partial<FastifyError>): ApiError | undefined {
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new ApiError(413, 'the body is larger than this server takes; send less at once', 'request_too_large')
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new ApiError(415, 'expected a body of type application/json', 'unsupported_media_type')
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return new ApiError(400, 'expected a JSON object as the body, found nothing', 'invalid_json')
  }
  if (statusCode === undefined || statusCode < 400 || statusCode >= 500) return undefined
  return new ApiError(
    statusCode,
    'the body is no JSON that can be read; check its quotes, commas and brackets',
    'invalid_json',
  )
}

/** The APIs, which differ in what an error looks like. */
export type Api = 'openai' | 'anthropic'

/** The API that a path belongs to. */
export function apiOf(path: string): Api {
  return path.startsWith('/v1/messages') ? 'anthropic' : 'openai'
}

/** The body of an error's answer, in an API's own shape. */
export function errorBody(api: Api, error: ApiError): object {
  const { message, status, code, param } = error
  if (api === 'anthropic') return { type: 'error', error: { type: ANTHROPIC_TYPES[status] ?? typeOf(status), message } }
  return { error: { message, type: typeOf(status), param, code } }
}

const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  ...{ 401: 'authentication_error', 403: 'permission_error', 404: 'not_found_error', 413: 'request_too_large' },
  ...{ 429: 'rate_limit_error', 500: 'api_error', 503: 'overloaded_error' },
}

function typeOf(status: number): string {
  if (status === 401) return 'authentication_error'
  if (status === 429) return 'rate_limit_error'
  return status >= 500 ? 'server_error' : 'invalid_request_error'
}
