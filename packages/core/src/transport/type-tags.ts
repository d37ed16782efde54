/**
 * Begins a tagged array, `[TYPE_TAG, kind, ...]`, as which a value travels that msgpack has no type for. An array of the
 * user's that begins with the tag's string travels tagged itself, so nothing the user sends can be taken for a tag.
 */
export const TYPE_TAG = '\u0000'

/** The kinds of tagged values. */
export const kinds = {
  reference: 0,
  array: 1,
  entries: 2,
  map: 3,
  set: 4,
  date: 5,
  bigint: 6,
  negativeZero: 7,
  loneSurrogates: 8,
  error: 9,
  bytes: 10,
  attachedBytes: 11,
  regExp: 12,
  url: 13,
  codec: 14,
  storedBytes: 15,
} as const

/** Views that travel as their bytes; the index into this list is on the wire, so only append. */
export const binaryClasses = [
  ArrayBuffer,
  Buffer,
  Uint8Array,
  Int8Array,
  Uint8ClampedArray,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
  BigUint64Array,
  BigInt64Array,
  DataView,
] as const

/** Bytes up to this many travel inside the message, more as a frame of their own. */
export const INLINE_BYTES = 1024
