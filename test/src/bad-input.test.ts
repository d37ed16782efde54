import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { tales } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

/** The shipped model with some of its files changed. */
function changedModel(t: ExecutionContext, change: (folder: string) => void): string {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  for (const name of [
    'config.json',
    'generation_config.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'model.safetensors',
  ]) {
    cpSync(join(tales, name), join(folder, name))
  }
  change(folder)
  return folder
}

function editConfig(folder: string, changes: object): void {
  const path = join(folder, 'config.json')
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...changes }))
}

/** Rewrites the header of model.safetensors. */
function editHeader(
  folder: string,
  edit: (header: Record<string, { dtype: string; shape: number[]; data_offsets: number[] }>) => void,
): void {
  const path = join(folder, 'model.safetensors')
  const bytes = readFileSync(path)
  const length = Number(bytes.readBigUInt64LE())
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString())
  edit(header)
  const text = Buffer.from(JSON.stringify(header))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(text.length))
  writeFileSync(path, Buffer.concat([size, text, bytes.subarray(8 + length)]))
}

const generate = (model: string, ...args: string[]) => [
  'generate',
  '--model',
  model,
  '--max-tokens',
  '3',
  '--tokens',
  '1,5,9',
  ...args,
]

const cases: Record<string, [command: (t: ExecutionContext) => string[], says: RegExp]> = {
  'a missing model': [() => generate('no/such/model'), /no model at .*no\/such\/model/],
  'a directory without config.json': [
    (t) => generate(changedModel(t, (f) => rmSync(join(f, 'config.json')))),
    /has no config\.json/,
  ],
  'a directory without weights': [
    (t) => generate(changedModel(t, (f) => rmSync(join(f, 'model.safetensors')))),
    /neither model\.safetensors nor/,
  ],
  'truncated weights': [
    (t) => generate(changedModel(t, (f) => truncateSync(join(f, 'model.safetensors'), 100_000))),
    /model\.safetensors is not a sound safetensors file: .*cut short/,
  ],
  'a lying header': [
    (t) =>
      generate(
        changedModel(t, (f) =>
          editHeader(f, (header) => {
            header['model.norm.weight']!.shape = [1_000_000]
          }),
        ),
      ),
    /tensor model\.norm\.weight of shape \[1000000\].*takes/,
  ],
  'a tensor of another shape than the config says': [
    (t) => generate(changedModel(t, (f) => editConfig(f, { intermediate_size: 100 }))),
    /has shape .* but config\.json makes it/,
  ],
  'an unsupported architecture': [
    (t) => generate(changedModel(t, (f) => editConfig(f, { architectures: ['MambaForCausalLM'] }))),
    /MambaForCausalLM is not supported/,
  ],
  'an unsupported dtype': [
    (t) =>
      generate(
        changedModel(t, (f) =>
          editHeader(f, (header) => {
            for (const [name, tensor] of Object.entries(header)) if (name !== '__metadata__') tensor.dtype = 'I16'
          }),
        ),
      ),
    /has dtype I16; weights must be F32, F16 or BF16/,
  ],
  'a file that is no model': [() => generate(join(tales, 'heldout.txt')), /heldout\.txt is not a GGUF file/],
  'a truncated GGUF file': [
    (t) =>
      generate(
        join(
          changedModel(t, (f) => writeFileSync(join(f, 'cut.gguf'), 'GGUF\x03\0\0\0\x09')),
          'cut.gguf',
        ),
      ),
    /cut\.gguf is not a sound GGUF file: it ends at byte 9/,
  ],
  'a format that weights cannot be quantized to': [
    () => generate(tales, '--weights', 'q3_k'),
    /--weights must be q8_0 or q4_0, found q3_k/,
  ],
  'a type that the KV cache cannot have': [
    () => generate(tales, '--kv-cache', 'int4'),
    /--kv-cache must be one of float32, float16, bfloat16, int8; found int4/,
  ],
  'a setting that would change what the model computes': [
    (t) => generate(changedModel(t, (f) => editConfig(f, { attn_logit_softcapping: 50 }))),
    /attn_logit_softcapping is 50, which is not supported/,
  ],
  'no text to predict': [() => ['perplexity', '--model', tales, '--text', 'no/such/text'], /no file at no\/such\/text/],
  'more stages than layers': [
    () => generate(tales, '--pipeline', '9'),
    /9 pipeline stages, but the model has 8 layers/,
  ],
  'more shards than heads': [
    () => generate(tales, '--tensor', '9'),
    /9 tensor shards, but the model has 8 attention heads/,
  ],
  'a plan of zero': [() => generate(tales, '--sequence', '0'), /sequence must be/],
  'a plan that is no number': [() => generate(tales, '--pipeline', 'two'), /pipeline.*two/],
  'an unknown flag': [() => generate(tales, '--pipelines', '2'), /--pipelines/],
  'layers that do not add up': [
    () => ['generate', '--model', tales, '--prompt', 'a', '--pipeline', '2', '--layers', '3,4'],
    /layers must be 2 whole numbers above 0.*the model's 8; found \[3, 4\]/,
  ],
  'tokens that are no numbers': [() => ['generate', '--model', tales, '--tokens', '1,x'], /--tokens.*x/],
  'a token outside the vocabulary': [
    () => ['generate', '--model', tales, '--tokens', '1,99999'],
    /token 99999 is not in the vocabulary/,
  ],
  'a prompt longer than the context': [
    () => ['generate', '--model', tales, '--tokens', Array(2048).fill(5).join()],
    /the prompt has 2048 tokens, but the context holds 2048/,
  ],
  'an empty prompt': [() => ['generate', '--model', tales, '--tokens', ''], /--tokens|empty/],
  'a negative temperature': [() => generate(tales, '--temperature', '-1'), /temperature/],
  'a node that cannot be reached': [() => generate(tales, '--address', '127.0.0.1:1'), /127\.0\.0\.1:1/],
  'a head that cannot be joined': [() => ['start', '--join', '127.0.0.1:1'], /127\.0\.0\.1:1/],
  'an unknown command': [() => ['perform'], /perform/],
}

for (const [name, [command, says]] of Object.entries(cases)) {
  test.serial(`${name} gets one line that says what to do, status 2, and leaves nothing running`, async (t) => {
    const guard = new ProcessGuard(t)
    const end = await guard.troupe(...command(t)).finished
    t.is(end.status, 2, end.stderr)
    t.is(end.stdout, '')
    t.regex(end.stderr, /^error: [^\n]+\n$/)
    t.regex(end.stderr, says)
  })
}

test.serial(
  'a tokenizer that cannot be used ends a prompt of text, and costs one of tokens no more than its text',
  async (t) => {
    const guard = new ProcessGuard(t)
    const model = changedModel(t, (f) => writeFileSync(join(f, 'tokenizer.json'), '{"model": {"type": "Magic"}}'))
    const text = await guard.troupe('generate', '--model', model, '--prompt', 'Once').finished
    t.is(text.status, 2)
    t.regex(text.stderr, /^error: .*tokenizer\.json has no tokenizer that can be used: [^\n]+\n$/)
    const tokens = await guard.troupe(...generate(model, '--json')).finished
    t.is(tokens.status, 0, tokens.stderr)
    t.regex(tokens.stderr, /^warning: tokens are shown as numbers: [^\n]+\n$/)
    t.is(JSON.parse(tokens.stdout).tokens.length, 3)
  },
)

test.serial('a port in use gets one line that says what to do, status 2, and leaves nothing running', async (t) => {
  const guard = new ProcessGuard(t)
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const end = await guard.troupe('start', '--head', '--port', String(port)).finished
  t.is(end.status, 2)
  t.regex(end.stderr, new RegExp(`^error: port ${port} is in use[^\\n]*\\n$`))
  server.close()
})
