const ENGLISH_ENDINGS = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
const SPACES = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'

interface PreTokenizer {
  /** Patterns that text is split by, one after another, before its bytes are merged. */
  patterns: string[]
  /** Whether a whole word that is a token stays one, whatever its merges. */
  ignoreMerges: boolean
  /** Whether texts start with the beginning token where the file does not say. */
  begins: boolean
}

const GPT2: PreTokenizer = {
  patterns: ["'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"],
  ignoreMerges: false,
  begins: false,
}
const SMOLLM: PreTokenizer = { ...GPT2, patterns: ['\\p{N}', ...GPT2.patterns] }
const LLAMA3: PreTokenizer = {
  patterns: [`${ENGLISH_ENDINGS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`],
  ignoreMerges: true,
  begins: true,
}
const QWEN2: PreTokenizer = {
  patterns: [`${ENGLISH_ENDINGS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`],
  ignoreMerges: false,
  begins: false,
}
const TEKKEN: PreTokenizer = {
  patterns: [
    '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|' +
      '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|' +
      `\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`,
  ],
  ignoreMerges: true,
  begins: true,
}

/** How byte-level vocabularies split text, by the names that GGUF files give (llama.cpp, llama-vocab.cpp). */
export const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  ...{ 'gpt-2': GPT2, smollm: SMOLLM, tekken: TEKKEN },
  ...{ 'llama-bpe': LLAMA3, llama3: LLAMA3, 'llama-v3': LLAMA3 },
  ...{ qwen2: QWEN2, 'deepseek-r1-qwen': QWEN2 },
}
