import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { InvalidInputError } from '@troupe/core'

/** Where models come from and where they are kept, as the environment says it to every Hugging Face library. */
export interface HubSettings {
  /** Without a slash at its end. */
  endpoint: string
  cacheFolder: string
  isOffline: boolean
  /** Never part of a message. */
  token: string | undefined
}

/**
 * The settings of HF_ENDPOINT, HF_HUB_CACHE, HF_HOME, HF_HUB_OFFLINE, HF_TOKEN, and of the file in which `hf auth login` keeps a token.
 * @throws InvalidInputError if HF_ENDPOINT is not a URL.
 */
export function hubSettings(environment: NodeJS.ProcessEnv = process.env): HubSettings {
  const set = (...names: string[]) => names.map((name) => environment[name]?.trim()).find((value) => value)
  const home = set('HF_HOME') ?? join(set('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface')
  const cacheFolder = set('HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub')
  const isOn = (value: string | undefined) => /^(1|on|yes|true)$/i.test(value ?? '')
  return {
    endpoint: endpointOf(set('HF_ENDPOINT') ?? 'https://huggingface.co'),
    cacheFolder: resolve(expanded(cacheFolder)),
    isOffline: isOn(set('HF_HUB_OFFLINE')) || isOn(set('TRANSFORMERS_OFFLINE')),
    token:
      set('HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN') ?? storedToken(expanded(set('HF_TOKEN_PATH') ?? join(home, 'token'))),
  }
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url && /^https?:$/.test(url.protocol)) return text.replace(/\/+$/, '')
  throw new InvalidInputError(
    `HF_ENDPOINT must be a URL that starts with https:// or http://, found ${JSON.stringify(text)}`,
  )
}

function expanded(path: string): string {
  return path.replace(/^~(?=\/|$)/, homedir())
}

function storedToken(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}
