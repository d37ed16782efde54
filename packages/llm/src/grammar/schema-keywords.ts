export type Schema = Record<string, unknown>

/** Keywords that do not say what a value may be. */
export const ANNOTATIONS = new Set([
  ...[
    'title',
    'description',
    'default',
    'examples',
    'example',
    '$schema',
    '$id',
    '$comment',
    '$anchor',
    '$defs',
    'definitions',
  ],
  ...[
    'deprecated',
    'readOnly',
    'writeOnly',
    'discriminator',
    'contentMediaType',
    'contentEncoding',
    'nullable',
    'strict',
    'id',
  ],
])
export const TYPES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'] as const
export type Type = (typeof TYPES)[number]
/** The keywords of each type that a text can be held to. */
export const OF_TYPE: Record<Type, readonly string[]> = {
  null: [],
  boolean: [],
  integer: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  string: ['minLength', 'maxLength', 'pattern', 'format'],
  array: ['items', 'prefixItems', 'minItems', 'maxItems'],
  object: ['properties', 'required', 'additionalProperties'],
}
/** Keywords that only change others that are refused. */
export const OF_NO_TYPE = new Set(['minContains', 'maxContains', 'then', 'else'])

export function isIdle(key: string, value: unknown): boolean {
  return (
    (key === 'uniqueItems' && value === false) ||
    (key === 'multipleOf' && value === 1) ||
    (key === 'unevaluatedProperties' && value === true)
  )
}

/** Of a schema without types, that of its keywords: that is what people mean who write `properties` alone. */
export function inferred(schema: Schema): Type[] | undefined {
  const found = TYPES.filter((type) => type !== 'integer' && OF_TYPE[type].some((key) => schema[key] !== undefined))
  return found.length > 0 ? found : undefined
}

export function isOf(type: Type, value: unknown): boolean {
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'null') return value === null
  if (type === 'array') return Array.isArray(value)
  return type === 'object' ? isObject(value) : typeof value === type
}

export function isObject(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function describe(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 80)
}
