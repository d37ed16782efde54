import { InvalidInputError } from '../common/errors.js'
import type { Coordinates, SpawnRequest } from '../protocol/actor.js'

/** The names of living actors, by namespace. */
export class ActorNames {
  readonly #actors = new Map<string, string>()
  readonly #numbers = new Map<string, number>()

  /** The id of the living actor that was given a name. */
  find(namespace: string, name: string): string | undefined {
    return this.#actors.get(keyOf(namespace, name))
  }

  /**
   * Names the members of a spawn. Only a name that was chosen must be the only one of its kind.
   *
   * @throws InvalidInputError if a chosen name is taken
   */
  assign({ name, actorClass, members }: SpawnRequest, namespace: string, ids: readonly string[]): string[] {
    const names = members.map(({ coordinates }) => {
      if (coordinates) return `${name ?? actorClass.className}${formatCoordinates(coordinates)}`
      return name ?? this.#number(actorClass.className)
    })
    if (name === undefined) return names
    for (const taken of names) {
      if (this.find(namespace, taken) === undefined) continue
      throw new InvalidInputError(`an actor named ${taken} lives already; choose another, or ask with getIfExists`)
    }
    for (const [index, taken] of names.entries()) this.#actors.set(keyOf(namespace, taken), ids[index]!)
    return names
  }

  release(namespace: string, name: string, id: string): void {
    const key = keyOf(namespace, name)
    if (this.#actors.get(key) === id) this.#actors.delete(key)
  }

  #number(className: string): string {
    const number = (this.#numbers.get(className) ?? 0) + 1
    this.#numbers.set(className, number)
    return `${className}#${number}`
  }
}

function keyOf(namespace: string, name: string): string {
  return `${namespace}\0${name}`
}

function formatCoordinates(coordinates: Coordinates): string {
  return `[${Object.entries(coordinates).map(([dimension, index]) => `${dimension}=${index}`)}]`
}
