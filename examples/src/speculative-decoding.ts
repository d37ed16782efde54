// Speculative decoding (arXiv 2211.17192), greedily: a draft model on one actor proposes tokens, the model on another computes
// all of them in one step and keeps those that it would have taken itself. The text is the model's own, in fewer steps.
import { connect } from '@troupe/core'
import { RemoteModelWorker, stageSpec } from '@troupe/llm'
import { limits, model, Text, tokenizer } from './text.js'

const PROPOSED = 4
const LENGTH = 60

await using _cluster = await connect()
const target = await RemoteModelWorker.spawn(stageSpec(model, {}, limits))
const draft = await RemoteModelWorker.spawn(stageSpec(model, {}, limits, 'Q4_0')) // the same model, rounded to 4 bits
await Promise.all([target.load({}), draft.load({})])

const [text, drafted] = [new Text(), new Text()]
const prompt = await tokenizer.encode('Once upon a time')
const known = [...prompt, ...(await target.step(text.step(prompt)))!.tokens]
let steps = 1
while (known.length < prompt.length + LENGTH) {
  const proposed: number[] = []
  let ids = known.slice(drafted.cached.length)
  while (proposed.length < PROPOSED) {
    ids = (await draft.step(drafted.step(ids)))!.tokens
    proposed.push(...ids)
  }
  // The token that the text ends with, then the proposed ones: after each of them the model's own choice.
  const start = text.cached.length
  const { tokens } = (await target.step(text.step([known.at(-1)!, ...proposed], 'all')))!
  const wrong = proposed.findIndex((token, i) => token !== tokens[i])
  const accepted = wrong < 0 ? PROPOSED : wrong
  known.push(...tokens.slice(0, accepted + 1))
  // What was computed after a wrong token is forgotten.
  text.cached.truncate(start + accepted + 1)
  drafted.cached.truncate(start + accepted + 1)
  steps++
}
console.log(tokenizer.decode(known.slice(0, prompt.length + LENGTH)))
console.log(`${LENGTH} tokens in fewer than ${LENGTH / 2} steps: ${steps < LENGTH / 2}`)
