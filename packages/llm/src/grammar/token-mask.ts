import { InvalidInputError } from '@troupe/core'
import type { Structure } from '../api/params.js'
import { Ebnf, oneOf } from './ebnf.js'
import { GrammarThread } from './grammar-thread.js'
import { jsonSchema } from './json-schema.js'
import type { MaskVocabulary } from './mask-vocabulary.js'
import { regularExpression } from './regular-expression.js'
import { userGrammar } from './user-grammar.js'

/** The tokens that may come next in one text. */
export interface GrammarMask {
  /**
   * Bit t of the words says whether token t may come next (word t >> 5, bit t & 31); undefined if all may. End tokens may
   * exactly when the text is whole.
   * @throws InvalidInputError if that takes too long or too much memory
   */
  next(): Int32Array | undefined
  /**
   * Goes on behind a token.
   * @throws InvalidInputError at the next `next()`, if the mask did not allow it
   */
  accept(token: number): void
  /** Whether an end token was accepted. */
  readonly isEnded: boolean
  /** Frees the memory that the text has. */
  dispose(): void
}

/** Grammars that are kept for texts to come. */
const KEPT = 8
/** Grammars of texts under way. */
const MOST = 64

interface Entry {
  thread: Promise<GrammarThread>
  texts: number
}

const vocabularies = new WeakMap<MaskVocabulary, number>()
let count = 0
/** By vocabulary and grammar, the one used last at the end. */
const grammars = new Map<string, Entry>()

/**
 * The mask of a new text that is held to a structure. It is computed on a thread of the grammar's own while the model computes;
 * grammars are kept by vocabulary, which has to be the same object, and structure.
 * @throws InvalidInputError that says where, if the structure is not one, or describes more than can be held to in seconds
 */
export async function tokenMask(structure: Structure, vocabulary: MaskVocabulary): Promise<GrammarMask> {
  const ebnf = grammarOf(structure)
  const key = `${numberOf(vocabulary)} ${ebnf}`
  const entry = grammars.get(key) ?? begin(ebnf, vocabulary)
  grammars.delete(key)
  grammars.set(key, entry)
  entry.texts++
  const release = () => {
    entry.texts--
    evict()
  }
  try {
    const thread = await entry.thread
    const text = thread.open(vocabulary.size)
    let isOpen = true
    return {
      next: () => text.next(),
      accept: (token) => text.accept(token),
      get isEnded() {
        return text.isEnded
      },
      dispose: () => {
        if (!isOpen) return
        isOpen = false
        text.close()
        if (thread.hasFailed) grammars.delete(key)
        release()
      },
    }
  } catch (error) {
    grammars.delete(key)
    release()
    throw error
  }
}

/** The grammar of a structure, in the notation that the matcher reads. */
export function grammarOf(structure: Structure): string {
  if (structure.type === 'grammar') return userGrammar(structure.ebnf)
  const grammar = new Ebnf()
  if (structure.type === 'regex') {
    return grammar.text(regularExpression(structure.pattern, { character: oneOf, isWhole: true }))
  }
  return grammar.text(jsonSchema(structure.type === 'json' ? true : structure.schema, grammar))
}

function begin(ebnf: string, vocabulary: MaskVocabulary): Entry {
  if (grammars.size >= MOST) {
    throw new InvalidInputError(
      `${MOST} structures are in use; expected fewer at a time, so try again when others have ended`,
    )
  }
  return { thread: GrammarThread.start(ebnf, vocabulary), texts: 0 }
}

function evict(): void {
  const idle = [...grammars].filter(([, entry]) => entry.texts === 0)
  for (const [key, entry] of idle.slice(0, Math.max(0, idle.length - KEPT))) {
    grammars.delete(key)
    entry.thread.then((thread) => thread.stop()).catch(() => {})
  }
}

function numberOf(vocabulary: MaskVocabulary): number {
  const known = vocabularies.get(vocabulary)
  if (known !== undefined) return known
  vocabularies.set(vocabulary, count)
  return count++
}
