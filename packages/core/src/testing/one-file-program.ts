import { actor, connect, isMain } from '@troupe/core'

/** An actor in the module of the program that uses it. */
export class Answerer {
  isMain(): boolean {
    return isMain(import.meta)
  }
}
export const RemoteAnswerer = actor(import.meta.url, Answerer)

if (isMain(import.meta)) {
  await using _cluster = await connect()
  const answers: boolean[] = []
  for (const isolation of ['process', 'thread'] as const) {
    answers.push(await (await RemoteAnswerer.options({ isolation }).spawn()).isMain())
  }
  console.log(JSON.stringify(answers))
}
