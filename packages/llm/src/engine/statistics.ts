/** The times of a stage's workers, on average, in milliseconds. */
export interface StageTimes {
  /** Computing. */
  busy: number
  /** Moving data to and from other workers. */
  transfer: number
}

/** A stage's times, with what it waited while steps were under way anywhere. */
export interface StageStatistics extends StageTimes {
  replica: number
  stage: number
  waiting: number
}

/** The times of an engine so far. */
export interface EngineStatistics {
  /** Milliseconds in which there was something to do, of each replica. */
  elapsed: number[]
  stages: StageStatistics[]
  /** The pipeline's bubble: the share of that time, 0 to 1, in which stages waited. */
  bubble: number
}

/** @param replicas For each replica the milliseconds in which it had something to do, and its stages' times. */
export function statisticsOf(
  replicas: readonly { elapsed: number; stages: readonly StageTimes[] }[],
): EngineStatistics {
  const stages = replicas.flatMap(({ elapsed, stages }, replica) =>
    stages.map((times, stage) => {
      const waiting = Math.max(0, elapsed - times.busy - times.transfer)
      return { replica, stage, ...times, waiting }
    }),
  )
  const total = (times: readonly number[]) => times.reduce((a, b) => a + b, 0)
  const available = total(replicas.map(({ elapsed, stages }) => elapsed * stages.length))
  return {
    elapsed: replicas.map(({ elapsed }) => elapsed),
    stages,
    bubble: available > 0 ? total(stages.map(({ waiting }) => waiting)) / available : 0,
  }
}

/** The difference between two looks at an engine's statistics. */
export function statisticsBetween(before: EngineStatistics, after: EngineStatistics): EngineStatistics {
  return statisticsOf(
    after.elapsed.map((elapsed, replica) => {
      const stagesOf = (statistics: EngineStatistics) => statistics.stages.filter((stage) => stage.replica === replica)
      const earlier = stagesOf(before)
      return {
        elapsed: elapsed - before.elapsed[replica]!,
        stages: stagesOf(after).map(({ busy, transfer }, stage) => ({
          busy: busy - earlier[stage]!.busy,
          transfer: transfer - earlier[stage]!.transfer,
        })),
      }
    }),
  )
}
