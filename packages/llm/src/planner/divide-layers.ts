/** The cost of a stage: each layer, and what it has besides; and how many layers fit. */
export interface StageLoad {
  perLayer: number
  extra: number
  most: number
}

/** Layers for each stage, at least one, such that the longest stage is as short as can be; undefined if they do not fit. */
export function balance(layers: number, stages: readonly StageLoad[]): number[] | undefined {
  if (!fits(layers, stages)) return undefined
  const within = (limit: number) =>
    stages.map(({ perLayer, extra, most }) => Math.max(1, Math.min(most, Math.floor((limit - extra) / perLayer))))
  let low = 0
  // A little more than what the slowest stage takes for all layers, so that rounding does not lose one.
  let high = 1.000001 * Math.max(...stages.map(({ perLayer, extra }) => extra + layers * perLayer))
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2
    if (sum(within(middle)) >= layers) high = middle
    else low = middle
  }
  return withoutSurplus(within(high), layers, stages)
}

/** Layers for each stage, at least one, such that all stages together are as short as can be. */
export function fillFastest(layers: number, stages: readonly StageLoad[]): number[] | undefined {
  if (!fits(layers, stages)) return undefined
  const counts = stages.map(() => 1)
  let left = layers - stages.length
  const order = stages.map((_, index) => index).sort((a, b) => stages[a]!.perLayer - stages[b]!.perLayer)
  for (const index of order) {
    const taken = Math.min(left, stages[index]!.most - 1)
    counts[index]! += taken
    left -= taken
  }
  return counts
}

function fits(layers: number, stages: readonly StageLoad[]): boolean {
  return (
    stages.length <= layers && stages.every(({ most }) => most >= 1) && sum(stages.map(({ most }) => most)) >= layers
  )
}

/** Takes what is too much from the stages that are longest. */
function withoutSurplus(counts: number[], layers: number, stages: readonly StageLoad[]): number[] {
  for (let surplus = sum(counts) - layers; surplus > 0; surplus--) {
    let longest = -1
    let most = -1
    counts.forEach((count, index) => {
      const { perLayer, extra } = stages[index]!
      const time = extra + count * perLayer
      // Of stages as long as each other the last, so that earlier ones have more.
      if (count > 1 && time >= most) {
        longest = index
        most = time
      }
    })
    counts[longest]!--
  }
  return counts
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
