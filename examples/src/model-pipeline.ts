// A language model in two pipeline stages, put together by hand: two actors with half of the layers each, and a graph in which
// the activations go from one to the other. No engine: this program makes every step by itself.
import { connect, graph, type ObjectRef } from '@troupe/core'
import { RemoteModelWorker, type Step, stageSpec } from '@troupe/llm'
import { limits, model, Text, tokenizer } from './text.js'

await using _cluster = await connect()
const first = await RemoteModelWorker.spawn(stageSpec(model, { stage: 0, stages: 2 }, limits))
const last = await RemoteModelWorker.spawn(stageSpec(model, { stage: 1, stages: 2 }, limits))
for (const { layers } of await Promise.all([first.load({}), last.load({})])) {
  console.log(`layers ${layers.start} to ${layers.end - 1}`)
}
await using pipeline = await graph((step: ObjectRef<Step>) => last.step(step, first.hiddenStates(step)))

const text = new Text()
const prompt = await tokenizer.encode('Once upon a time')
let ids = prompt
const answer: number[] = []
while (answer.length < 20) {
  const found = await pipeline.execute(text.step(ids))
  ids = found!.tokens
  answer.push(...ids)
}
console.log(tokenizer.decode([...prompt, ...answer]))
