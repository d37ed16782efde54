import { ActorDiedError, type Graph, graph, killActor, type Mesh, type ObjectRef } from '@troupe/core'
import type { ParallelPlan } from '../parallel/plan.js'
import type { Request } from './request.js'
import type { ScheduledStep, Scheduler, StepResult } from './scheduler.js'
import type { StageTimes } from './statistics.js'
import type { Step } from './step.js'
import type { ModelWorker } from './worker.js'

type StepGraph = Graph<[Step], (StepResult | undefined)[]>

/**
 * The workers that hold one copy of a model, and the requests that they work on. Steps go to all workers over a graph, some
 * ahead of the one that is computed, so that no worker waits for this process.
 */
export class Replica {
  #failure: Error | undefined
  #underWay = 0
  /** Milliseconds in which steps were under way, up to when the last were done; and since when some are. */
  #elapsed = 0
  #began = 0

  private constructor(
    private readonly mesh: Mesh<ModelWorker>,
    private readonly plan: ParallelPlan,
    private readonly scheduler: Scheduler,
    private readonly steps: StepGraph,
    private readonly stepsAhead: number,
  ) {}

  /** @param mesh its workers, which have loaded the model */
  static async start(
    mesh: Mesh<ModelWorker>,
    plan: ParallelPlan,
    scheduler: Scheduler,
    stepsAhead: number,
  ): Promise<Replica> {
    const steps = await graph(
      (step: ObjectRef<Step>) => {
        const results = mesh.members.map(({ handle }) => handle.step(step))
        return results.filter((_, index) => answers(mesh.members[index]!.coordinates as unknown as ParallelPlan, plan))
      },
      { maxInFlight: stepsAhead },
    )
    return new Replica(mesh, plan, scheduler, steps as unknown as StepGraph, stepsAhead)
  }

  get failure(): Error | undefined {
    return this.#failure
  }

  /** Tokens that it has still to compute, at most. */
  get work(): number {
    return this.scheduler.work
  }

  add(request: Request): void {
    if (this.#failure) throw this.#failure
    this.scheduler.add(request)
    this.#advance()
  }

  cancel(request: Request): void {
    this.scheduler.cancel(request)
    this.#advance()
  }

  /** Milliseconds in which steps were under way. */
  get elapsed(): number {
    return this.#elapsed + (this.#underWay > 0 ? performance.now() - this.#began : 0)
  }

  /** The times of each stage's workers, on average. */
  async stageTimes(): Promise<StageTimes[]> {
    const times = await Promise.all(this.mesh.members.map(({ handle }) => handle.statistics()))
    return Array.from({ length: this.plan.pipeline }, (_, stage) => {
      const own = times.filter((_, index) => this.mesh.members[index]!.coordinates.pipeline === stage)
      const mean = (pick: (time: (typeof times)[number]) => number) =>
        own.reduce((sum, time) => sum + pick(time), 0) / own.length
      return { busy: mean(({ busy }) => busy), transfer: mean(({ transfer }) => transfer) }
    })
  }

  async stop(reason: Error): Promise<void> {
    if (this.#failure) return
    this.#failure = reason
    for (const { listener } of this.scheduler.drain()) listener.fail(reason)
    await this.steps.close()
    await this.mesh.stop()
  }

  #advance(): void {
    while (!this.#failure && this.#underWay < this.stepsAhead) {
      const next = this.scheduler.next()
      if (!next) return
      if (this.#underWay++ === 0) this.#began = performance.now()
      void this.#run(next)
    }
  }

  async #run(scheduled: ScheduledStep): Promise<void> {
    let results: (StepResult | undefined)[]
    try {
      results = await this.steps.execute(scheduled.step)
    } catch (error) {
      await this.#fail(error as Error)
      return
    }
    if (--this.#underWay === 0) this.#elapsed += performance.now() - this.#began
    this.scheduler.complete(scheduled, joined(results))
    this.#advance()
  }

  /** A dead worker makes the others' collectives fail; its own death is the cause that callers should see. */
  async #fail(error: Error): Promise<void> {
    if (this.#failure) return
    this.#failure = error
    const handles = this.mesh.members.map(({ handle }) => handle)
    const lives = await Promise.allSettled(handles.map((handle) => handle.statistics()))
    const deaths = lives.flatMap((life) => (life.status === 'rejected' ? [life.reason as Error] : []))
    this.#failure = deaths.find((death) => death instanceof ActorDiedError) ?? error
    await Promise.allSettled(handles.map((handle) => killActor(handle)))
    await this.steps.close()
    for (const { listener } of this.scheduler.drain()) listener.fail(this.#failure)
  }
}

/** Whether a worker says what was found in a step. */
function answers({ pipeline, tensor }: ParallelPlan, plan: ParallelPlan): boolean {
  return pipeline === plan.pipeline - 1 && tensor === 0
}

/** The results of all sequence ranks as one. */
function joined(results: readonly (StepResult | undefined)[]): StepResult {
  const scores = results.flatMap((result) => result?.scores ?? [])
  return {
    tokens: results[0]?.tokens ?? [],
    logits: new Map(results.flatMap((result) => [...(result?.logits ?? [])])),
    ...(scores.length > 0 ? { scores } : {}),
  }
}
