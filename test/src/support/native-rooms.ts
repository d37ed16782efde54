import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

const MOST_LINES = 450
/** The only room that knows N-API. */
const BINDINGS = 'addon'

/** What is wrong with the native code in a folder that has `src` and `test`, each fault as `FILE: what`. */
export function faultsOf(native: string, rooms: readonly string[]): string[] {
  const sources = filesIn(native, 'src')
  return [
    ...sources.flatMap((file) => includeFaults(native, file, rooms)),
    ...circles(native, sources),
    ...[...sources, ...filesIn(native, 'test')].flatMap((file) => {
      const lines = readFileSync(join(native, file), 'utf8').trimEnd().split('\n').length
      return lines > MOST_LINES ? [`${file}: expected at most ${MOST_LINES} lines, found ${lines}`] : []
    }),
  ]
}

function filesIn(native: string, folder: string): string[] {
  if (!existsSync(join(native, folder))) return []
  return readdirSync(join(native, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(cc|h|inl)$/.test(path))
    .map((path) => join(folder, path))
}

/** The files of `src` that a file of it includes, in quotes or brackets, from `src` or from where it is. */
function includesOf(native: string, file: string): { written: string; path: string | undefined }[] {
  const text = readFileSync(join(native, file), 'utf8')
  return [...text.matchAll(/^[ \t]*#[ \t]*include[ \t]*["<]([^">]+)[">]/gm)].map(([, written]) => ({
    written: written!,
    path: [normalize(join('src', written!)), normalize(join(dirname(file), written!))].find((path) =>
      statSync(join(native, path), { throwIfNoEntry: false })?.isFile(),
    ),
  }))
}

function includeFaults(native: string, file: string, rooms: readonly string[]): string[] {
  const from = rooms.indexOf(roomOf(file))
  if (from < 0) return [`${file}: expected a file of a room, one of ${rooms.join(', ')}`]
  return includesOf(native, file).flatMap(({ written, path }) => {
    if (path === undefined) {
      const isNapi = /^(napi|node_api|js_native_api|v8|uv)(-inl)?\.h$|^node/.test(written)
      return isNapi && rooms[from] !== BINDINGS ? [`${file}: only ${BINDINGS} may include ${written}`] : []
    }
    if (rooms.indexOf(roomOf(path)) > from) return [`${file}: ${rooms[from]} may not include ${written}`]
    return path === join('src', written) ? [] : [`${file}: expected ${path.slice('src/'.length)}, found ${written}`]
  })
}

/** Files that include themselves by way of others, each circle once. */
function circles(native: string, sources: readonly string[]): string[] {
  const done = new Set<string>()
  const found: string[] = []
  const visit = (file: string, trail: readonly string[]): void => {
    if (trail.includes(file)) {
      found.push(`${file}: a circle of includes, ${[...trail.slice(trail.indexOf(file)), file].join(' -> ')}`)
      return
    }
    if (done.has(file)) return
    for (const { path } of includesOf(native, file)) if (path !== undefined) visit(path, [...trail, file])
    done.add(file)
  }
  for (const file of sources) visit(file, [])
  return found
}

function roomOf(file: string): string {
  return file.split('/')[1]!
}
