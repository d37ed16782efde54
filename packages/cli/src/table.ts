/** Rows of cells under a heading, in columns; numbers to the right. */
export function table(heading: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const all = [heading, ...rows]
  const widths = heading.map((_, column) => Math.max(...all.map((row) => String(row[column]).length)))
  const lines = all.map((row) =>
    row.map((cell, column) => {
      const isNumber = rows.length > 0 && typeof rows[0]![column] === 'number'
      return isNumber ? String(cell).padStart(widths[column]!) : String(cell).padEnd(widths[column]!)
    }),
  )
  return lines.map((cells) => cells.join('  ').trimEnd()).join('\n')
}

/** Amounts by name as `cpu 1.5 of 2`. */
export function formatFree(total: Readonly<Record<string, number>>, free: Readonly<Record<string, number>>): string {
  const names = Object.keys(total).filter((name) => total[name]! > 0)
  return names.map((name) => `${name} ${amount(name, free[name] ?? 0)} of ${amount(name, total[name]!)}`).join(', ')
}

function amount(name: string, value: number): string {
  return name === 'memory' ? `${(value / 2 ** 30).toFixed(1)} GiB` : String(Number(value.toFixed(3)))
}
