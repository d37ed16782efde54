const part = (options: Intl.DateTimeFormatOptions) => {
  const format = new Intl.DateTimeFormat('en-US', options)
  return (date: Date) => format.format(date)
}
const padded = (length: number, number: (date: Date) => number) => (date: Date) =>
  String(number(date)).padStart(length, '0')
const hour12 = (date: Date) => date.getHours() % 12 || 12

const DIRECTIVES: Record<string, (date: Date) => string> = {
  a: part({ weekday: 'short' }),
  A: part({ weekday: 'long' }),
  b: part({ month: 'short' }),
  B: part({ month: 'long' }),
  d: padded(2, (date) => date.getDate()),
  H: padded(2, (date) => date.getHours()),
  I: padded(2, hour12),
  j: padded(3, dayOfYear),
  m: padded(2, (date) => date.getMonth() + 1),
  M: padded(2, (date) => date.getMinutes()),
  p: (date) => (date.getHours() < 12 ? 'AM' : 'PM'),
  S: padded(2, (date) => date.getSeconds()),
  w: (date) => String(date.getDay()),
  y: padded(2, (date) => date.getFullYear() % 100),
  Y: (date) => String(date.getFullYear()),
  '%': () => '%',
}
/** Directives of which others are made. */
const COMPOSED: Record<string, string> = {
  D: '%m/%d/%y',
  F: '%Y-%m-%d',
  R: '%H:%M',
  T: '%H:%M:%S',
  x: '%m/%d/%y',
  X: '%H:%M:%S',
}

/** A date as Python's strftime writes it in the C locale: English, whatever the process speaks; `%-d` is without zeros. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([a-zA-Z%])/g, (whole, plain: string, name: string) => {
    const composed = COMPOSED[name]
    if (composed !== undefined) return strftime(date, composed)
    const text = DIRECTIVES[name]?.(date) ?? whole
    return plain ? text.replace(/^0+(?=\d)/, '') : text
  })
}

function dayOfYear(date: Date): number {
  const [year, month, day] = [date.getFullYear(), date.getMonth(), date.getDate()]
  return Math.round((Date.UTC(year, month, day) - Date.UTC(year, 0, 0)) / 86_400_000)
}
