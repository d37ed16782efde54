import { type Graph, graph, killActor, type Mesh, type ObjectRef } from '@troupe/core'
import type { ParallelPlan } from '../parallel/plan.js'
import { firstDeath } from './first-death.js'
import type { EngineWorker, LaunchedWorkers } from './launch.js'
import type { StepResult } from './scheduler.js'
import type { StageTimes } from './statistics.js'
import type { Step } from './step.js'
import type { ModelWorker } from './worker.js'

/**
 * Milliseconds to look for the worker whose death made a step fail. Those that live answer in one and a death is known in some, but
 * one that is stopped does neither; without the death, requests go on as well and only the reason is less clear.
 */
const CAUSE_TIMEOUT = 2000

type StepGraph = Graph<[Step], (StepResult | undefined)[]>

/** The workers of a replica from when they are started until one of them dies, bound together as a graph that runs steps. */
export class WorkerGroup {
  private constructor(
    readonly workers: readonly EngineWorker[],
    private readonly mesh: Mesh<ModelWorker>,
    private readonly steps: StepGraph,
  ) {}

  /** @param stepsAhead Steps that are under way at once, at most. */
  static async bind({ mesh, workers }: LaunchedWorkers, plan: ParallelPlan, stepsAhead: number): Promise<WorkerGroup> {
    const steps = await graph(
      (step: ObjectRef<Step>) => {
        const results = mesh.members.map(({ handle }) => handle.step(step))
        return results.filter((_, index) => answers(mesh.members[index]!.coordinates as unknown as ParallelPlan, plan))
      },
      { maxInFlight: stepsAhead },
    )
    return new WorkerGroup(workers, mesh, steps as unknown as StepGraph)
  }

  /** @throws ActorDiedError or CollectiveError if a worker has died; see {@link causeOf}. */
  async run(step: Step): Promise<StepResult> {
    return joined(await this.steps.execute(step))
  }

  /** The times of each stage's workers, on average. */
  async stageTimes(stages: number): Promise<StageTimes[]> {
    const times = await Promise.all(this.mesh.members.map(({ handle }) => handle.statistics()))
    return Array.from({ length: stages }, (_, stage) => {
      const own = times.filter((_, index) => this.mesh.members[index]!.coordinates.pipeline === stage)
      const mean = (pick: (time: (typeof times)[number]) => number) =>
        own.reduce((sum, time) => sum + pick(time), 0) / own.length
      return { busy: mean(({ busy }) => busy), transfer: mean(({ transfer }) => transfer) }
    })
  }

  /** A dead worker makes the others' collectives fail; its own death is the cause that callers should see. */
  async causeOf(error: Error): Promise<Error> {
    const signs = this.mesh.members.map(({ handle }) => handle.statistics())
    return (await firstDeath(signs, CAUSE_TIMEOUT)) ?? error
  }

  /** Ends the workers without waiting for what they do. */
  async kill(): Promise<void> {
    await Promise.allSettled(this.mesh.members.map(({ handle }) => killActor(handle)))
    await this.steps.close()
  }

  /** Ends the workers when they have done what they do. */
  async stop(): Promise<void> {
    await this.steps.close()
    await this.mesh.stop()
  }
}

/** Whether a worker says what was found in a step. */
function answers({ pipeline, tensor }: ParallelPlan, plan: ParallelPlan): boolean {
  return pipeline === plan.pipeline - 1 && tensor === 0
}

/** The results of all sequence ranks as one. */
function joined(results: readonly (StepResult | undefined)[]): StepResult {
  const scores = results.flatMap((result) => result?.scores ?? [])
  const finalHidden = results.flatMap((result) => result?.finalHidden ?? [])
  return {
    tokens: results[0]?.tokens ?? [],
    logits: new Map(results.flatMap((result) => [...(result?.logits ?? [])])),
    logProbs: new Map(results.flatMap((result) => [...(result?.logProbs ?? [])])),
    ...(scores.length > 0 ? { scores } : {}),
    ...(finalHidden.length > 0 ? { finalHidden } : {}),
  }
}
