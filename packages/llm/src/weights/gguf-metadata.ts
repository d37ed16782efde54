import type { ByteReader } from './byte-reader.js'

export type MetadataValue = number | bigint | boolean | string | MetadataValue[]

/** Arrays of more elements than this are taken for damage; vocabularies have some hundred thousand. */
const MOST_ELEMENTS = 1 << 24
const ARRAY = 9
const TEXT = 8

/** Bytes that a value of each type takes at least. */
const LEAST_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8]

/** Reads a metadata value of GGUF's type number `type`; `key` names it in errors. */
export function readMetadataValue(
  reader: ByteReader,
  type: number,
  key: string,
  fail: (problem: string) => Error,
): MetadataValue {
  switch (type) {
    case 0:
      return reader.uint8()
    case 1:
      return reader.int8()
    case 2:
      return reader.uint16()
    case 3:
      return reader.int16()
    case 4:
      return reader.uint32()
    case 5:
      return reader.int32()
    case 6:
      return reader.float32()
    case 7: {
      const value = reader.uint8()
      if (value > 1) throw fail(`metadata ${key} holds ${value} where true or false was expected`)
      return value === 1
    }
    case TEXT:
      return reader.text(`metadata ${key}`)
    case ARRAY:
      return readArray(reader, key, fail)
    case 10:
      return plain(reader.uint64())
    case 11:
      return plain(reader.int64())
    case 12:
      return reader.float64()
    default:
      throw fail(`metadata ${key} is of the unknown type ${type}`)
  }
}

function readArray(reader: ByteReader, key: string, fail: (problem: string) => Error): MetadataValue[] {
  const type = reader.uint32()
  const least = LEAST_BYTES[type]
  if (least === undefined || type === ARRAY) throw fail(`metadata ${key} is an array of the unknown type ${type}`)
  const count = reader.count(`elements of metadata ${key}`, least, MOST_ELEMENTS)
  const values: MetadataValue[] = []
  for (let i = 0; i < count; i++) values.push(readMetadataValue(reader, type, key, fail))
  return values
}

function plain(value: bigint): number | bigint {
  return BigInt(Number(value)) === value && Number.isSafeInteger(Number(value)) ? Number(value) : value
}
