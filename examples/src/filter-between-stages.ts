// An actor of one's own between the pipeline stages of a language model: every activation goes through it. This one keeps
// count of how large they are, and replaces what is not a number, before the next stage sees them.
import { actor, connect, graph, isMain, type ObjectRef } from '@troupe/core'
import { RemoteModelWorker, type Step, stageSpec } from '@troupe/llm'
import type { Tensor } from '@troupe/tensor'
import { limits, model, Text, tokenizer } from './text.js'

export class Filter {
  private tokens = 0
  private largest = 0

  check(hidden: Tensor<'float32'>): Tensor<'float32'> {
    this.tokens += hidden.shape[0]!
    const { data } = hidden // the memory that the stage wrote to
    for (const [i, value] of data.entries()) {
      if (Number.isNaN(value)) data[i] = 0
      else this.largest = Math.max(this.largest, Math.abs(value))
    }
    return hidden
  }

  report(): string {
    return `${this.tokens} tokens, ${this.largest < 1000 ? 'all within bounds' : 'some out of bounds'}`
  }
}

const RemoteFilter = actor(import.meta.url, Filter)

if (isMain(import.meta)) {
  await using _cluster = await connect()
  const first = await RemoteModelWorker.spawn(stageSpec(model, { stage: 0, stages: 2 }, limits))
  const last = await RemoteModelWorker.spawn(stageSpec(model, { stage: 1, stages: 2 }, limits))
  await Promise.all([first.load({}), last.load({})])
  const filter = await RemoteFilter.spawn()
  await using pipeline = await graph((step: ObjectRef<Step>) => last.step(step, filter.check(first.hiddenStates(step))))
  const text = new Text()
  const prompt = await tokenizer.encode('Once upon a time')
  let ids = prompt
  const answer: number[] = []
  while (answer.length < 20) {
    ids = (await pipeline.execute(text.step(ids)))!.tokens
    answer.push(...ids)
  }
  console.log(tokenizer.decode([...prompt, ...answer]))
  console.log(await filter.report())
}
