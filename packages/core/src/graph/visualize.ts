import type { GraphPlan } from './plan.js'
import type { ValueId } from './protocol.js'

/** A line a step, in the order in which they can run: `%2 = b#1.decode(%1)`. */
export function drawText(plan: GraphPlan): string {
  const lines = Array.from({ length: plan.inputs }, (_, value) => `%${value} = input ${value + 1}`)
  for (const { step } of plan.steps) {
    const args = step.args.map((arg) => ('value' in arg ? `%${arg.value}` : describe(arg.constant)))
    const note =
      step.kind === 'collective' ? ` with ${step.members.filter((_, rank) => rank !== step.rank).join(', ')}` : ''
    lines.push(`%${step.value} = ${step.label}(${args.join(', ')})${note}`)
  }
  const outputs = plan.outputs.slice(0, plan.resultOutputs)
  return `${[...lines, `return ${outputs.map((value) => `%${value}`).join(', ')}`].join('\n')}\n`
}

interface Box {
  readonly label: string
  readonly needs: readonly ValueId[]
  readonly level: number
  readonly row: number
  readonly actor: number | undefined
}

const WIDTH = 180
const HEIGHT = 36
const GAP = { x: 60, y: 24 }
const MARGIN = 20

/** Boxes for inputs, steps and the result, each right of what it needs; the steps of one actor have one colour. */
export function drawSvg(plan: GraphPlan): string {
  const boxes = new Map<ValueId | 'result', Box>()
  const rows: number[] = []
  const place = (key: ValueId | 'result', label: string, needs: readonly ValueId[], actor?: number) => {
    const level = needs.length === 0 ? 0 : 1 + Math.max(...needs.map((need) => boxes.get(need)!.level))
    const row = rows[level] ?? 0
    rows[level] = row + 1
    boxes.set(key, { label, needs, level, row, actor })
  }
  for (let value = 0; value < plan.inputs; value++) place(value, `input ${value + 1}`, [])
  for (const { step, actor } of plan.steps) {
    const needs = step.args.flatMap((arg) => ('value' in arg ? [arg.value] : []))
    place(step.value, step.label, needs, actor)
  }
  place('result', 'result', plan.outputs.slice(0, plan.resultOutputs))
  const x = ({ level }: Box) => MARGIN + level * (WIDTH + GAP.x)
  const y = ({ row }: Box) => MARGIN + row * (HEIGHT + GAP.y)
  const all = [...boxes.values()]
  const width = Math.max(...all.map(x)) + WIDTH + MARGIN
  const height = Math.max(...all.map(y)) + HEIGHT + MARGIN
  const arrows = all.flatMap((box) =>
    box.needs.map((need) => {
      const from = boxes.get(need)!
      const [x1, y1, x2, y2] = [x(from) + WIDTH, y(from) + HEIGHT / 2, x(box), y(box) + HEIGHT / 2]
      const middle = (x1 + x2) / 2
      return `<path d="M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}" fill="none" stroke="#555" marker-end="url(#arrow)"/>`
    }),
  )
  const shapes = all.map((box) => {
    const fill = box.actor === undefined ? '#eee' : `hsl(${(box.actor * 137) % 360} 70% 85%)`
    const [left, top] = [x(box), y(box)]
    return (
      `<rect x="${left}" y="${top}" width="${WIDTH}" height="${HEIGHT}" rx="6" fill="${fill}" stroke="#555"/>` +
      `<text x="${left + WIDTH / 2}" y="${top + HEIGHT / 2 + 4}" text-anchor="middle">${escapeXml(shorten(box.label))}</text>`
    )
  })
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">` +
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">' +
    '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>' +
    `${arrows.join('')}${shapes.join('')}</svg>\n`
  )
}

function shorten(label: string): string {
  return label.length > 28 ? `${label.slice(0, 27)}…` : label
}

function describe(constant: unknown): string {
  if (typeof constant === 'string') return JSON.stringify(shorten(constant))
  if (typeof constant !== 'object' || constant === null) return String(constant)
  return Array.isArray(constant) ? `[${constant.length} items]` : (constant.constructor?.name ?? 'object')
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
