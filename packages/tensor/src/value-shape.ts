import type { ValueShape } from '@troupe/native'
import { bytesOfRows } from './data-type.js'
import type { Value } from './trace.js'

/** A value as native code knows it, but for its memory. */
export function shapeOf(value: Value): ValueShape {
  const symbol = typeof value.rows === 'number' ? -1 : value.rows.index
  const isPacked = value.isPacked ?? false
  return { type: value.type, symbol, rows: mostRows(value), columns: value.columns, isPacked }
}

/** The rows of a value, or the most that its symbol may say. */
export function mostRows({ rows }: Value): number {
  return typeof rows === 'number' ? rows : rows.limit
}

/** The bytes of a value with the most rows that it may have. */
export function mostBytes(value: Value): number {
  return bytesOfRows(value.type, mostRows(value), value.columns)
}
