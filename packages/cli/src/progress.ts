import type { DownloadProgress, LoadProgress } from '@troupe/llm'

/** Of what is no terminal: a line for each so many percent, so that a log stays short. */
const LINE_PERCENT = 10

/** Does something that reports how far a download is, which a bar shows on a terminal, and some lines elsewhere. */
export async function withDownloadProgress<T>(
  output: NodeJS.WriteStream,
  work: (onProgress: (progress: DownloadProgress) => void) => Promise<T>,
): Promise<T> {
  if (!output.isTTY) {
    const lines = new Lines(output)
    return work((progress) => lines.update(progress))
  }
  return withBar(output, '{speed}/s  {file}', (bar) =>
    work(({ file, bytes, totalBytes, bytesPerSecond }) =>
      bar.update(bytes, totalBytes, { file, speed: size(bytesPerSecond) }),
    ),
  )
}

/** Does something that loads a model, and shows how far it is in a bar on a terminal, and not elsewhere. */
export async function withLoadProgress<T>(
  output: NodeJS.WriteStream,
  work: (options: { onLoadProgress?: (progress: LoadProgress) => void }) => Promise<T>,
): Promise<T> {
  if (!output.isTTY) return work({})
  return withBar(output, 'loaded', (bar) =>
    work({ onLoadProgress: ({ loadedBytes, totalBytes }) => bar.update(loadedBytes, totalBytes) }),
  )
}

async function withBar<T>(output: NodeJS.WriteStream, ending: string, work: (bar: Bar) => Promise<T>): Promise<T> {
  const bar = new Bar(await import('cli-progress'), output, ending)
  try {
    return await work(bar)
  } finally {
    bar.end()
  }
}

class Lines {
  #next = 0

  constructor(private readonly output: NodeJS.WriteStream) {}

  update({ bytes, totalBytes, bytesPerSecond }: DownloadProgress): void {
    const percent = totalBytes === 0 ? 100 : Math.floor((bytes / totalBytes) * 100)
    if (percent < this.#next) return
    this.#next = (Math.floor(percent / LINE_PERCENT) + 1) * LINE_PERCENT
    this.output.write(`fetched ${size(bytes)} of ${size(totalBytes)}, ${percent} %, ${size(bytesPerSecond)}/s\n`)
  }
}

class Bar {
  #bar: import('cli-progress').SingleBar | undefined

  constructor(
    private readonly library: typeof import('cli-progress'),
    private readonly output: NodeJS.WriteStream,
    /** What is behind the bytes, with names of further values in braces. */
    private readonly ending: string,
  ) {}

  update(bytes: number, totalBytes: number, values: Record<string, string> = {}): void {
    const payload = { ...values, bytes: size(bytes), totalBytes: size(totalBytes) }
    if (!this.#bar) {
      const { SingleBar, Presets } =
        'default' in this.library ? (this.library.default as typeof this.library) : this.library
      const format = `{bar} {percentage} %  {bytes} of {totalBytes}  ${this.ending}`
      this.#bar = new SingleBar({ format, stream: this.output, hideCursor: true, barsize: 24 }, Presets.shades_classic)
      this.#bar.start(totalBytes, bytes, payload)
    }
    this.#bar.setTotal(totalBytes)
    this.#bar.update(bytes, payload)
  }

  end(): void {
    this.#bar?.stop()
  }
}

/** Bytes as people read them. */
function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3))
  return `${(bytes / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`
}
