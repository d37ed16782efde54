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

/** The value of bfloat16 bits. */
export function fromBfloat16(half: number): number {
  bits[0] = half << 16
  return float[0]!
}
