import { InvalidInputError } from '@troupe/core'
import { CharacterSet } from './code-points.js'
import { anyOf, type Ebnf, inJsonString, literal, MOST_REPETITIONS, oneOf, repeated } from './ebnf.js'
import { decimals, integers } from './number-ranges.js'
import { regularExpression } from './regular-expression.js'
import {
  ANNOTATIONS,
  describe,
  inferred,
  isIdle,
  isObject,
  isOf,
  OF_NO_TYPE,
  OF_TYPE,
  type Schema,
  TYPES,
  type Type,
} from './schema-keywords.js'
import { FORMATS } from './string-formats.js'

const GENERAL = ['type', 'enum', 'const', 'anyOf', 'oneOf', 'allOf', '$ref']
const DEEPEST = 100
const SPACE = '("" | " " | "\\n" [ \\t]{0,32})'
const ESCAPE = '"\\\\" (["\\\\/bfnrt] | "u" ([0-9A-Ca-cEFef] [0-9A-Fa-f]{3} | [Dd] [0-7] [0-9A-Fa-f]{2}))'
const PLAIN = oneOf(CharacterSet.of([0, 0x1f], [0x22, 0x22], [0x5c, 0x5c]).negated())

/**
 * JSON texts of the values that a JSON Schema allows, as rules of a grammar; gives the name of their rule. Properties come in
 * the schema's order, others behind them.
 * @throws InvalidInputError that says where, for what is no schema, and for keywords that a text cannot be held to while it is written.
 */
export function jsonSchema(schema: unknown, grammar: Ebnf): string {
  return new SchemaConverter(schema, grammar).convert(schema, '', 0)
}

class SchemaConverter {
  readonly #references = new Map<string, string>()
  readonly #space: string
  readonly #string: string
  #any: string | undefined

  constructor(
    private readonly root: unknown,
    private readonly grammar: Ebnf,
  ) {
    this.#space = grammar.rule('space', SPACE)
    const character = grammar.rule('character', `${PLAIN} | ${ESCAPE}`)
    this.#string = grammar.rule('string', `"\\"" ${character}* "\\""`)
  }

  /** The name of the rule of a schema that is at `path`. */
  convert(schema: unknown, path: string, depth: number): string {
    if (schema === true || (isObject(schema) && Object.keys(schema).every((key) => ANNOTATIONS.has(key))))
      return this.#anything()
    if (schema === false) throw this.#error(path, 'is false, which no value fits')
    if (!isObject(schema)) throw this.#error(path, `must be an object or a boolean, found ${describe(schema)}`)
    if (depth > DEEPEST) throw this.#error(path, `is more than ${DEEPEST} schemas deep`)
    if (typeof schema.$ref === 'string' && this.#constraints(schema).length === 1)
      return this.#reference(schema.$ref, path, depth)
    const merged = this.#merged(schema, path, 0)
    return this.grammar.rule('value', this.#choices(merged, path, depth))
  }

  #constraints(schema: Schema): string[] {
    return Object.keys(schema).filter((key) => !ANNOTATIONS.has(key))
  }

  #choices(schema: Schema, path: string, depth: number): string {
    const types = this.#types(schema, path)
    const known = new Set([...GENERAL, ...types.flatMap((type) => OF_TYPE[type])])
    for (const key of this.#constraints(schema)) {
      if (known.has(key) || isIdle(key, schema[key]) || OF_NO_TYPE.has(key)) continue
      const elsewhere = TYPES.find((type) => OF_TYPE[type].includes(key))
      // A keyword of another type says nothing about these.
      if (elsewhere) continue
      throw this.#error(
        path,
        `has ${JSON.stringify(key)}, which a text cannot be held to while it is written; leave it out`,
      )
    }
    if (schema.const !== undefined || schema.enum !== undefined) return this.#listed(schema, types, path)
    const branches = (schema.anyOf ?? schema.oneOf) as unknown
    if (branches !== undefined) return this.#branches(schema, branches, path, depth)
    return anyOf(types.map((type) => this.#ofType(type, schema, path, depth)))
  }

  #types(schema: Schema, path: string): Type[] {
    const given = schema.type
    if (given === undefined) return inferred(schema) ?? TYPES.filter((type) => type !== 'integer')
    const types = Array.isArray(given) ? given : [given]
    const wrong = types.find((type) => !TYPES.includes(type as Type))
    if (types.length === 0 || wrong !== undefined) {
      throw this.#error(
        `${path}/type`,
        `must be one of ${TYPES.join(', ')} or a list of them, found ${describe(wrong ?? given)}`,
      )
    }
    return types as Type[]
  }

  #listed(schema: Schema, types: Type[], path: string): string {
    const values = schema.const !== undefined ? [schema.const] : schema.enum
    if (!Array.isArray(values) || values.length === 0) throw this.#error(`${path}/enum`, 'must be a list of values')
    const isSole = this.#constraints(schema).every((key) => ['type', 'enum', 'const'].includes(key))
    if (!isSole) throw this.#error(path, 'has values and other keywords beside them; leave those out')
    const fitting =
      schema.type === undefined ? values : values.filter((value) => types.some((type) => isOf(type, value)))
    if (fitting.length === 0) throw this.#error(path, `has no value of its type`)
    return anyOf(fitting.map((value) => this.#constant(value)))
  }

  #constant(value: unknown): string {
    if (typeof value !== 'object' || value === null) return literal(JSON.stringify(value))
    const space = ` ${this.#space} `
    const parts = Array.isArray(value)
      ? value.map((item) => this.#constant(item))
      : Object.entries(value).map(
          ([name, item]) => `${literal(JSON.stringify(name))}${space}":"${space}${this.#constant(item)}`,
        )
    const [start, end] = Array.isArray(value) ? ['"["', '"]"'] : ['"{"', '"}"']
    return [start, parts.join(`${space}","${space}`), end].filter((part) => part !== '').join(space)
  }

  #branches(schema: Schema, branches: unknown, path: string, depth: number): string {
    const key = schema.anyOf === undefined ? 'oneOf' : 'anyOf'
    if (!Array.isArray(branches) || branches.length === 0)
      throw this.#error(`${path}/${key}`, 'must be a list of schemas')
    if (key === 'anyOf' && schema.oneOf !== undefined) throw this.#error(path, 'has anyOf and oneOf; leave one out')
    const { [key]: _, ...rest } = schema
    const hasRest = this.#constraints(rest).length > 0
    const whole = branches.map((branch, index) => {
      const at = `${path}/${key}/${index}`
      return hasRest && isObject(branch) ? this.#join(rest, this.#merged(branch, at, 0), at) : branch
    })
    if (key === 'oneOf') this.#expectApart(whole, path)
    return anyOf(whole.map((branch, index) => this.convert(branch, `${path}/${key}/${index}`, depth + 1)))
  }

  /** Of oneOf, no value may fit two: their types differ, or a property that all require has other values in each. */
  #expectApart(branches: readonly unknown[], path: string): void {
    const schemas = branches.map((branch, index) =>
      isObject(branch) ? this.#merged(branch, `${path}/oneOf/${index}`, 0) : {},
    )
    for (const [index, a] of schemas.entries()) {
      for (const b of schemas.slice(index + 1)) {
        if (this.#areApart(a, b, path)) continue
        throw this.#error(`${path}/oneOf`, 'has schemas that the same value may fit; use anyOf')
      }
    }
  }

  #areApart(a: Schema, b: Schema, path: string): boolean {
    const values = (schema: Schema) =>
      schema.const !== undefined ? [schema.const] : Array.isArray(schema.enum) ? schema.enum : undefined
    const [left, right] = [values(a), values(b)]
    const text = (list: unknown[]) => new Set(list.map((value) => JSON.stringify(value)))
    if (left && right) return [...text(left)].every((value) => !text(right).has(value))
    const types = (schema: Schema) =>
      new Set(this.#types(schema, path).map((type) => (type === 'integer' ? 'number' : type)))
    if ([...types(a)].every((type) => !types(b).has(type))) return true
    const required = (schema: Schema) => (Array.isArray(schema.required) ? schema.required : [])
    const property = (schema: Schema, name: string) => {
      const found = isObject(schema.properties) ? schema.properties[name] : undefined
      return isObject(found) ? found : undefined
    }
    return required(a).some((name: string) => {
      const [x, y] = [property(a, name), property(b, name)]
      return required(b).includes(name) && x && y && values(x) && values(y) && this.#areApart(x, y, path)
    })
  }

  #reference(target: string, path: string, depth: number): string {
    const known = this.#references.get(target)
    if (known) return known
    const name = this.grammar.rule('reference')
    this.#references.set(target, name)
    this.grammar.define(name, this.convert(this.#resolve(target, path, 0), target.replace(/^#/, ''), depth + 1))
    return name
  }

  #resolve(target: string, path: string, hops: number): unknown {
    if (hops > DEEPEST) throw this.#error(path, `refers to itself`)
    if (!/^#(\/|$)/.test(target))
      throw this.#error(`${path}/$ref`, `must point into the same schema, as "#/$defs/NAME", found ${describe(target)}`)
    let found: unknown = this.root
    for (const part of target.split('/').slice(1)) {
      const key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
      found =
        isObject(found) || Array.isArray(found)
          ? Object.hasOwn(found, key)
            ? (found as Schema)[key]
            : undefined
          : undefined
    }
    if (found === undefined) throw this.#error(`${path}/$ref`, `points to ${describe(target)}, which is not there`)
    const next = isObject(found) && this.#constraints(found).length === 1 ? found.$ref : undefined
    return typeof next === 'string' ? this.#resolve(next, path, hops + 1) : found
  }

  /** A schema with what `allOf` and `$ref` beside other keywords add to it. */
  #merged(schema: Schema, path: string, hops: number): Schema {
    if (hops > DEEPEST) throw this.#error(path, 'refers to itself')
    const { allOf, $ref, ...rest } = schema
    let merged: Schema = rest
    if (allOf !== undefined && !Array.isArray(allOf)) throw this.#error(`${path}/allOf`, 'must be a list of schemas')
    const more = [
      ...((allOf as unknown[]) ?? []),
      ...($ref === undefined ? [] : [this.#resolve(String($ref), path, 0)]),
    ]
    for (const other of more) {
      if (other === true) continue
      if (!isObject(other)) throw this.#error(`${path}/allOf`, 'has a member that is no schema')
      merged = this.#join(merged, this.#merged(other, path, hops + 1), path)
    }
    return merged
  }

  #join(a: Schema, b: Schema, path: string): Schema {
    const joined: Schema = { ...a }
    for (const key of this.#constraints(b)) {
      if (joined[key] === undefined || JSON.stringify(joined[key]) === JSON.stringify(b[key])) joined[key] = b[key]
      else if (key === 'required')
        joined.required = [...new Set([...(a.required as string[]), ...(b.required as string[])])]
      else if (key === 'properties') {
        const shared = Object.keys(b.properties as Schema).find((name) => Object.hasOwn(a.properties as Schema, name))
        if (shared !== undefined)
          throw this.#error(path, `says in two ways what the property ${JSON.stringify(shared)} is; say it in one`)
        joined.properties = { ...(a.properties as Schema), ...(b.properties as Schema) }
      } else throw this.#error(path, `says ${JSON.stringify(key)} in two ways, which it is joined of; say it in one`)
    }
    return joined
  }

  #ofType(type: Type, schema: Schema, path: string, depth: number): string {
    switch (type) {
      case 'null':
        return '"null"'
      case 'boolean':
        return '("true" | "false")'
      case 'integer':
      case 'number':
        return this.#number(type, schema, path)
      case 'string':
        return this.#text(schema, path)
      case 'array':
        return this.#array(schema, path, depth)
      case 'object':
        return this.#object(schema, path, depth)
    }
  }

  #number(type: 'integer' | 'number', schema: Schema, path: string): string {
    const bound = (key: string): number | undefined => {
      const value = schema[key]
      if (value === undefined) return undefined
      if (typeof value !== 'number') throw this.#error(`${path}/${key}`, `must be a number, found ${describe(value)}`)
      if (!Number.isSafeInteger(value) && type === 'number')
        throw this.#error(`${path}/${key}`, `must be a whole number, found ${value}`)
      return value
    }
    const [low, lowOpen, high, highOpen] = ['minimum', 'exclusiveMinimum', 'maximum', 'exclusiveMaximum'].map(bound)
    if ([low, lowOpen, high, highOpen].every((value) => value === undefined)) {
      return type === 'integer'
        ? integers(undefined, undefined)
        : '"-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [+\\-]? [0-9]+)?'
    }
    const min = Math.max(low ?? Number.NEGATIVE_INFINITY, lowOpen ?? Number.NEGATIVE_INFINITY)
    const max = Math.min(high ?? Number.POSITIVE_INFINITY, highOpen ?? Number.POSITIVE_INFINITY)
    const isOpen = { min: lowOpen !== undefined && lowOpen === min, max: highOpen !== undefined && highOpen === max }
    const whole = (value: number) => (Number.isFinite(value) ? BigInt(value) : undefined)
    const least = type === 'number' ? min : isOpen.min ? Math.floor(min) + 1 : Math.ceil(min)
    const most = type === 'number' ? max : isOpen.max ? Math.ceil(max) - 1 : Math.floor(max)
    if (least > most || (type === 'number' && least === most && (isOpen.min || isOpen.max)))
      throw this.#error(path, 'has bounds between which there is no number')
    return type === 'integer' ? integers(whole(least), whole(most)) : decimals(whole(least), whole(most), isOpen)
  }

  #text(schema: Schema, path: string): string {
    const [min, max] = this.#counts(schema, 'minLength', 'maxLength', path)
    const hasLength = schema.minLength !== undefined || schema.maxLength !== undefined
    const format =
      typeof schema.format === 'string' && Object.hasOwn(FORMATS, schema.format) ? FORMATS[schema.format] : undefined
    const pattern = schema.pattern ?? format
    if (pattern === undefined && !hasLength) return this.#string
    if (pattern === undefined) return `"\\"" ${repeated(inJsonString(CharacterSet.all), min, max)} "\\""`
    if (typeof pattern !== 'string') throw this.#error(`${path}/pattern`, `must be a text, found ${describe(pattern)}`)
    if (hasLength && schema.pattern !== undefined)
      throw this.#error(path, 'has a pattern and a length; say the length in the pattern')
    try {
      return `"\\"" ${regularExpression(pattern, { character: inJsonString, isWhole: false })} "\\""`
    } catch (error) {
      throw error instanceof InvalidInputError ? this.#error(`${path}/pattern`, `is wrong: ${error.message}`) : error
    }
  }

  #counts(schema: Schema, least: string, most: string, path: string): [min: number, max: number] {
    const count = (key: string, otherwise: number) => {
      const value = schema[key] ?? otherwise
      const isCount = value === otherwise || (Number.isSafeInteger(value) && (value as number) >= 0)
      if (!isCount) throw this.#error(`${path}/${key}`, `must be a whole number, found ${describe(value)}`)
      if (value !== otherwise && (value as number) > MOST_REPETITIONS)
        throw this.#error(`${path}/${key}`, `must be at most ${MOST_REPETITIONS}, found ${value}`)
      return value as number
    }
    const [min, max] = [count(least, 0), count(most, Number.POSITIVE_INFINITY)]
    if (min > max) throw this.#error(path, `has ${least} ${min} and ${most} ${max}; no value has both`)
    return [min, max]
  }

  #array(schema: Schema, path: string, depth: number): string {
    const [min, max] = this.#counts(schema, 'minItems', 'maxItems', path)
    const first = schema.prefixItems ?? []
    if (!Array.isArray(first)) throw this.#error(`${path}/prefixItems`, 'must be a list of schemas')
    const heads = first
      .slice(0, max)
      .map((item, index) => this.convert(item, `${path}/prefixItems/${index}`, depth + 1))
    const hasMore = schema.items !== false && max > heads.length
    const item = hasMore ? this.convert(schema.items ?? true, `${path}/items`, depth + 1) : undefined
    if (!item && min > heads.length) throw this.#error(path, `has minItems ${min}, and allows fewer items`)
    const comma = `${this.#space} "," ${this.#space}`
    let rest = item ? repeated(`${comma} ${item}`, Math.max(0, min - heads.length), max - heads.length) : '""'
    if (heads.length === 0 && item) {
      const more = repeated(`${comma} ${item}`, Math.max(0, min - 1), max - 1)
      rest = min === 0 ? `(${item} ${more})?` : `${item} ${more}`
    }
    for (const [index, head] of [...heads.entries()].reverse()) {
      const own = `${index > 0 ? `${comma} ` : ''}${head} ${rest}`
      rest = this.grammar.rule('items', index >= min ? `(${own})?` : own)
    }
    return `"[" ${this.#space} ${rest} ${this.#space} "]"`
  }

  #object(schema: Schema, path: string, depth: number): string {
    const properties = schema.properties ?? {}
    if (!isObject(properties))
      throw this.#error(`${path}/properties`, `must be an object, found ${describe(properties)}`)
    const required = schema.required ?? []
    if (!Array.isArray(required) || !required.every((name) => typeof name === 'string'))
      throw this.#error(`${path}/required`, 'must be a list of names')
    const colon = `${this.#space} ":" ${this.#space}`
    const comma = `${this.#space} "," ${this.#space}`
    const others = schema.additionalProperties ?? true
    const undeclared = required.filter((name) => !Object.hasOwn(properties, name))
    if (undeclared.length > 0 && others === false)
      throw this.#error(`${path}/required`, `has ${JSON.stringify(undeclared[0])}, which properties lacks`)
    const at = (name: string) => `${path}/properties/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
    const members = [...Object.keys(properties), ...undeclared].flatMap((name) => {
      const value = Object.hasOwn(properties, name) ? properties[name] : others
      if (value === false && !required.includes(name)) return []
      const rule = this.convert(value, at(name), depth + 1)
      return [{ text: `${literal(JSON.stringify(name))} ${colon} ${rule}`, isRequired: required.includes(name) }]
    })
    let following = '""'
    let leading = ''
    if (others !== false) {
      const names = [...Object.keys(properties), ...undeclared]
      const member = `${this.#otherName(names)} ${colon} ${this.convert(others, `${path}/additionalProperties`, depth + 1)}`
      following = this.grammar.rule('others', `(${comma} ${member})*`)
      leading = this.grammar.rule('others', `(${member} (${comma} ${member})*)?`)
    }
    // What follows a member, and what begins an object, from the last member to the first.
    for (const { text, isRequired } of members.reverse()) {
      const after = this.grammar.rule('members', `${comma} ${text} ${following}${isRequired ? '' : ` | ${following}`}`)
      leading = this.grammar.rule('members', `${text} ${following}${isRequired ? '' : ` | ${leading || '""'}`}`)
      following = after
    }
    return `"{" ${this.#space} ${leading || '""'} ${this.#space} "}"`
  }

  /** Names other than these: letter by letter along them, and then away. They have no escapes. */
  #otherName(names: readonly string[]): string {
    const other = (prefix: string, left: readonly string[]): string => {
      const next = new Map<string, string[]>()
      for (const name of left) {
        const letter = Array.from(name.slice(prefix.length))[0]
        if (letter !== undefined) next.set(letter, [...(next.get(letter) ?? []), name])
      }
      const taken = CharacterSet.of(
        ...[...next.keys()].map((letter): [number, number] => [letter.codePointAt(0)!, letter.codePointAt(0)!]),
      )
      const away = CharacterSet.of([0, 0x1f], [0x22, 0x22], [0x5c, 0x5c], ...taken.ranges).negated()
      const choices = [`${oneOf(away)} ${PLAIN}* "\\""`]
      for (const [letter, following] of next) {
        if (/[\p{Cc}"\\]/u.test(letter)) continue
        choices.push(`${literal(letter)} ${other(prefix + letter, following)}`)
      }
      if (!left.includes(prefix)) choices.push('"\\""')
      return this.grammar.rule('name', choices.join(' | '))
    }
    return `"\\"" ${other('', names)}`
  }

  #anything(): string {
    if (this.#any) return this.#any
    this.#any = this.grammar.rule('anything')
    const schema = {}
    this.grammar.define(
      this.#any,
      anyOf(TYPES.filter((type) => type !== 'integer').map((type) => this.#ofType(type, schema, '', 0))),
    )
    return this.#any
  }

  #error(path: string, problem: string): InvalidInputError {
    return new InvalidInputError(`the JSON schema ${path === '' ? '' : `at ${path.slice(0, 200)} `}${problem}`)
  }
}
