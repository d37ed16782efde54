// Stories from a model in two pipeline stages: several at once, then one as it comes, to the end of its second sentence.
import { LLM } from '@troupe/llm'
import { root } from './root.js'

await using llm = await LLM.load(`${root}/models/tales`, { plan: { pipeline: 2 }, contextLength: 256 })
const beginnings = ['Once upon a time', 'One day, a fox', 'In the garden']
const params = { maxTokens: 20, temperature: 0.8, seed: 7 }
const results = await Promise.all(beginnings.map((text) => llm.generate(text, params)))
for (const [i, { choices }] of results.entries()) console.log(JSON.stringify(beginnings[i] + choices[0]!.text))

for await (const { text, finishReason } of llm.generate('Once upon a time', {
  temperature: 0,
  stop: ['.'],
  maxTokens: 60,
})) {
  process.stdout.write(text)
  if (finishReason) console.log(`\n${finishReason}`)
}
