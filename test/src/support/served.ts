import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { tales } from './models.js'
import { ProcessGuard, type Running } from './processes.js'

/** Writes chats as stories, and has calls of tools written as Hermes does. */
const template =
  '{{ bos_token }}{% for m in messages %}{{ m.content }} {% endfor %}{{ "<tool_call>" if tools }}{% if add_generation_prompt %}One day,{% endif %}'

/** `troupe serve` of a real model in processes of its own, and the clients that ask it. */
export class ServedTales {
  private constructor(
    readonly guard: ProcessGuard,
    readonly command: Running,
    readonly url: string,
    private readonly folder: string,
  ) {}

  static async start(...options: string[]): Promise<ServedTales> {
    const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
    const model = join(folder, 'tales')
    cpSync(tales, model, { recursive: true })
    writeFileSync(join(model, 'chat_template.jinja'), template)
    const guard = new ProcessGuard()
    const command = guard.troupe('serve', model, '--port', '0', ...options)
    const [, url] = await command.printed(/troupe serves tales on (http:\S+)\n/)
    return new ServedTales(guard, command, url!, folder)
  }

  get openai(): OpenAI {
    return new OpenAI({ baseURL: `${this.url}/v1`, apiKey: 'none', maxRetries: 0 })
  }

  get anthropic(): Anthropic {
    return new Anthropic({ baseURL: this.url, apiKey: 'none', maxRetries: 0 })
  }

  /** A figure of `/metrics`. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text()
    const line = text.split('\n').find((other) => other.startsWith(`troupe:${name}{`))
    if (line === undefined) throw new Error(`/metrics has no ${name}`)
    return Number(line.split(' ').at(-1))
  }

  /** Waits until a figure is as wanted; gives the one that it last was. */
  async metricUntil(name: string, isWanted: (value: number) => boolean): Promise<number> {
    for (let looks = 1000; ; looks--) {
      const value = await this.metric(name)
      if (isWanted(value) || looks === 0) return value
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** The processes that compute. */
  get workers(): number[] {
    return this.guard
      .living()
      .filter(({ command }) => /worker/.test(command))
      .map(({ pid }) => pid)
  }

  /** Removes what was written for it. */
  clear(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
