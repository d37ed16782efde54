const bits = new Uint32Array(1)
const float = new Float32Array(bits.buffer)

/** The value of IEEE binary16 bits. */
export function fromFloat16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1
  const exponent = (half >> 10) & 0x1f
  const fraction = half & 0x3ff
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** The bits of the IEEE binary16 number nearest to a float32, ties to even; too large ones become infinite. */
export function toFloat16(value: number): number {
  float[0] = value
  const sign = (bits[0]! >>> 16) & 0x8000
  const magnitude = bits[0]! & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00
  if (magnitude >= 0x47800000) return sign | 0x7c00
  if (magnitude < 0x38800000) {
    // Subnormal halves count in units of 2^-24; rounding may carry into the smallest normal one.
    const units = Math.abs(value) * 2 ** 24
    const below = Math.floor(units)
    const up = units - below > 0.5 || (units - below === 0.5 && below % 2 === 1)
    return sign | (below + (up ? 1 : 0))
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1)
  return sign | ((rounded - 0x38000000) >>> 13)
}
