/** Whole numbers from `min` to `max`, both included, as a part of a grammar; either may be left out. */
export function integers(min: bigint | undefined, max: bigint | undefined): string {
  const choices: string[] = []
  if (min === undefined || min < 0n) {
    const most = min === undefined ? undefined : -min
    const least = max !== undefined && max < 0n ? -max : 1n
    if (most === undefined || most >= least) choices.push(`"-" ${positives(least, most)}`)
  }
  if (max === undefined || max >= 0n) {
    const least = min === undefined || min < 0n ? 0n : min
    if (least === 0n) choices.push('"0"')
    const first = least === 0n ? 1n : least
    if (max === undefined || max >= first) choices.push(positives(first, max))
  }
  return `(${choices.join(' | ')})`
}

/** Those from `min`, at least 1, on. */
function positives(min: bigint, max: bigint | undefined): string {
  const digits = String(min).length
  const choices: string[] = []
  const last = max === undefined ? digits : String(max).length
  for (let length = digits; length <= last; length++) {
    const low = length === digits ? String(min) : `1${'0'.repeat(length - 1)}`
    const high = length === last && max !== undefined ? String(max) : '9'.repeat(length)
    choices.push(sameLength(low, high))
  }
  if (max === undefined) choices.push(`[1-9] [0-9]{${digits},}`)
  return `(${choices.join(' | ')})`
}

/** Numbers of as many digits as both have. */
function sameLength(low: string, high: string): string {
  if (low === '') return '""'
  const [a, b] = [low[0]!, high[0]!]
  const [lowRest, highRest] = [low.slice(1), high.slice(1)]
  const any = lowRest.length === 0 ? '' : ` [0-9]{${lowRest.length}}`
  if (/^0*$/.test(lowRest) && /^9*$/.test(highRest)) return `[${a}-${b}]${any}`
  if (a === b) return `"${a}" ${sameLength(lowRest, highRest)}`
  const choices = [`"${a}" ${sameLength(lowRest, '9'.repeat(lowRest.length))}`]
  if (Number(b) - Number(a) > 1) choices.push(`[${Number(a) + 1}-${Number(b) - 1}]${any}`)
  choices.push(`"${b}" ${sameLength('0'.repeat(highRest.length), highRest)}`)
  return `(${choices.join(' | ')})`
}

/**
 * Decimal numbers between whole ones; `isOpen` says whether a bound itself is left out. They have no exponent, and at
 * most 15 digits behind the point.
 */
export function decimals(
  min: bigint | undefined,
  max: bigint | undefined,
  isOpen: { min: boolean; max: boolean },
): string {
  const choices: string[] = []
  const some = '("." [0-9]{1,15})?'
  const nonZero = `"." [0-9]{0,14} [1-9]`
  if (max === undefined || max > 0n) {
    const low = min === undefined || min < 0n ? 0n : min
    const whole = (from: bigint) => integers(from, max === undefined ? undefined : max - 1n)
    const isLowOpen = min !== undefined && min >= 0n && isOpen.min
    if (isLowOpen) {
      choices.push(`"${low}" ${nonZero}`)
      if (max === undefined || low + 1n <= max - 1n) choices.push(`${whole(low + 1n)} ${some}`)
    } else if (max === undefined || low <= max - 1n) choices.push(`${whole(low)} ${some}`)
  }
  if (max !== undefined && max >= 0n && !isOpen.max && (min === undefined || min < max || !isOpen.min)) {
    choices.push(`"${max}" ("." "0"{1,15})?`)
  }
  if (min === undefined || min < 0n) {
    const mirroredMin = max === undefined || max > 0n ? 0n : -max
    const mirroredMax = min === undefined ? undefined : -min
    const isMirroredOpen = { min: max === undefined || max > 0n ? true : isOpen.max, max: isOpen.min }
    if (
      mirroredMax === undefined ||
      mirroredMin < mirroredMax ||
      (mirroredMin === mirroredMax && !isOpen.min && !isOpen.max)
    ) {
      choices.push(`"-" ${decimals(mirroredMin, mirroredMax, isMirroredOpen)}`)
    }
  }
  return `(${choices.join(' | ')})`
}
