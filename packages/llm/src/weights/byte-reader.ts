import type { WeightFile } from './weight-file.js'

const WINDOW_BYTES = 1 << 20

/** Reads little-endian values one after another from a file's start, through a window that moves over it. */
export class ByteReader {
  /** Bytes from the file's start to the next value. */
  position = 0
  #window = new DataView(new ArrayBuffer(0))
  #windowStart = 0

  /** @param fail Makes the error for a problem, which is thrown. */
  constructor(
    private readonly file: WeightFile,
    private readonly fail: (problem: string) => Error,
  ) {}

  /** Bytes from the next value to the file's end. */
  get left(): number {
    return this.file.size - this.position
  }

  uint8 = () => this.#view(1, (view, at) => view.getUint8(at))
  int8 = () => this.#view(1, (view, at) => view.getInt8(at))
  uint16 = () => this.#view(2, (view, at) => view.getUint16(at, true))
  int16 = () => this.#view(2, (view, at) => view.getInt16(at, true))
  uint32 = () => this.#view(4, (view, at) => view.getUint32(at, true))
  int32 = () => this.#view(4, (view, at) => view.getInt32(at, true))
  float32 = () => this.#view(4, (view, at) => view.getFloat32(at, true))
  uint64 = () => this.#view(8, (view, at) => view.getBigUint64(at, true))
  int64 = () => this.#view(8, (view, at) => view.getBigInt64(at, true))
  float64 = () => this.#view(8, (view, at) => view.getFloat64(at, true))

  /**
   * A 64-bit count of things that take at least `bytesEach` bytes of what is left of the file.
   * @param most The most that are taken as meant.
   */
  count(what: string, bytesEach: number, most = Number.MAX_SAFE_INTEGER): number {
    const count = this.uint64()
    if (count > BigInt(Math.min(most, Math.floor(this.left / bytesEach)))) {
      throw this.fail(`it claims ${count} ${what}, more than its ${this.file.size} bytes can hold`)
    }
    return Number(count)
  }

  /** UTF-8 text behind its length. `what` names it in errors. */
  text(what: string): string {
    const bytes = this.count(`bytes of ${what}`, 1, 1 << 28)
    const content = new Uint8Array(bytes)
    if (bytes > 0 && bytes <= WINDOW_BYTES) {
      this.#view(bytes, (view, at) => content.set(new Uint8Array(view.buffer, view.byteOffset + at, bytes)))
    } else {
      this.file.read(content, this.position)
      this.position += bytes
    }
    try {
      return decoder.decode(content)
    } catch {
      throw this.fail(`${what} is not UTF-8 text`)
    }
  }

  #view<T>(bytes: number, get: (view: DataView, at: number) => T): T {
    if (bytes > this.left) throw this.fail(`it ends at byte ${this.file.size}, in the middle of its header`)
    const at = this.position - this.#windowStart
    if (at + bytes > this.#window.byteLength) {
      const content = new Uint8Array(Math.min(WINDOW_BYTES, this.left))
      this.file.read(content, this.position)
      this.#window = new DataView(content.buffer)
      this.#windowStart = this.position
    }
    const value = get(this.#window, this.position - this.#windowStart)
    this.position += bytes
    return value
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
