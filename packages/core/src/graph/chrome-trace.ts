import type { StepRecord } from './protocol.js'

/** A trace in Chrome's JSON format, which Perfetto opens. Times are in microseconds. */
export interface ChromeTrace {
  readonly traceEvents: readonly ChromeEvent[]
}

/** One event; times are in microseconds. */
export interface ChromeEvent {
  readonly name: string
  readonly ph: 'X' | 'M'
  readonly pid: number
  readonly tid: number
  readonly ts?: number
  readonly dur?: number
  readonly args: Readonly<Record<string, unknown>>
}

/** The records of one process. */
interface ProcessRecords {
  readonly name: string
  readonly pid: number
  readonly records: readonly StepRecord[]
}

/** The trace of several processes, which begins with the first record. */
export function chromeTrace(processes: readonly ProcessRecords[]): ChromeTrace {
  const starts = processes.flatMap(({ records }) => records.map(({ start }) => start))
  const origin = starts.reduce((least, start) => Math.min(least, start), Number.POSITIVE_INFINITY)
  return {
    traceEvents: processes.flatMap(({ name, pid, records }) => [
      { name: 'process_name', ph: 'M' as const, pid, tid: 0, args: { name } },
      ...laid(records).map(({ record: { label, execution, start, end }, semaphore }) => ({
        name: label,
        ph: 'X' as const,
        pid,
        tid: semaphore,
        ts: (start - origin) * 1000,
        dur: (end - start) * 1000,
        args: { execution },
      })),
    ]),
  }
}

/** Records that overlap are drawn in lanes below each other. */
function laid(records: readonly StepRecord[]): { record: StepRecord; semaphore: number }[] {
  const ends: number[] = []
  return [...records]
    .sort((a, b) => a.start - b.start)
    .map((record) => {
      const free = ends.findIndex((end) => end <= record.start)
      const semaphore = free < 0 ? ends.length : free
      ends[semaphore] = record.end
      return { record, semaphore }
    })
}
