const ENDINGS = [' .', ' ?', ' !', ' ,', " ' ", " n't", " 'm", " 's", " 've", " 're"]

/** A text without the spaces before punctuation and English endings that WordPiece leaves, as transformers tidies it. */
export function cleanUp(text: string): string {
  return ENDINGS.reduce((tidied, ending) => tidied.replaceAll(ending, ending.trim()), text)
}

/** A text that may still become an ending that is tidied, or the part of one that tidying another one leaves. */
const UNFINISHED = /(?<! ) +n? *'? *[vr]?$/
const LOOKED_AT = 256

/** The number of characters from the beginning whose tidied form no text behind them can change. */
export function settledLength(text: string): number {
  let length = text.length
  for (;;) {
    const from = Math.max(0, length - LOOKED_AT)
    const unfinished = UNFINISHED.exec(text.slice(from, length))
    if (!unfinished) return length
    length = from + unfinished.index
  }
}
