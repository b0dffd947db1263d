/** What the stand-in keeps, by the rules of the real server. In memory. */

export interface Proposed {
  id: string
  type: string
  contentType: string
  data: Uint8Array
  metadata: Uint8Array
}

export interface Entry extends Proposed {
  stream: string
  revision: number
  /** Commit and prepare position alike: the byte where it begins. */
  position: bigint
  /** Milliseconds since 1970. */
  created: number
}

/** `position` is missing where there was nothing to append; `actual` is -1 for a stream without events. */
export type Outcome = { revision: number; position: bigint | undefined } | { actual: number }

export interface Log {
  /** @param base revision that the stream is expected at, -1: no events */
  append(stream: string, base: number, events: readonly Proposed[]): Outcome
  /** Null for a stream that there never was. What is beyond the stream's limits is left out. */
  stream(name: string): readonly Entry[] | null
  all(): readonly Entry[]
  /** Where in `all` the first event behind a position is; null for a position inside of an event. */
  indexAfter(position: bigint): number | null
  /** Calls `listener` with each append. @returns what ends that */
  watch(listener: (entries: readonly Entry[]) => void): () => void
  /** Takes what is beyond its stream's limits out of the log, all but the last event of a stream. */
  scavenge(): void
  /** @returns what brings the log back to what it is now: a restored backup */
  backUp(): () => void
}

/** A log to go on with: its events, and where it ends. */
export interface Saved {
  entries: readonly Entry[]
  end: bigint
}

/** What a log is made of. */
export interface LogOptions {
  /** Milliseconds since 1970: what the age of events is told by. */
  now?: () => number
  saved?: Saved | undefined
  /** Called with all that is written, and where the log ends then. */
  keep?: (entries: readonly Entry[], end: bigint) => void
}

const HEADER_BYTES = 96
/** Now and then the server writes for itself. */
const EVENTS_BETWEEN_STATISTICS = 50

export function createLog({ now = Date.now, saved, keep = () => {} }: LogOptions = {}): Log {
  const entries: Entry[] = []
  const scavenged = new Set<bigint>()
  const streams = new Map<string, Entry[]>()
  const listeners = new Set<(appended: readonly Entry[]) => void>()
  let end = 1_024n

  function write(stream: string, events: readonly Proposed[]): Entry[] {
    const there = streams.get(stream) ?? []
    const added = events.map((event, i) => {
      const entry = { ...event, stream, revision: there.length + i, position: end, created: now() }
      end += BigInt(HEADER_BYTES + stream.length + sizeOf(event))
      return entry
    })
    if (added.length > 0) streams.set(stream, there)
    there.push(...added)
    entries.push(...added)
    keep(added, end)
    for (const listener of listeners) listener(added)
    return added
  }

  function writeStatistics(): void {
    const last = entries.findLastIndex(({ stream }) => stream === '$stats-127.0.0.1:2113')
    if (entries.length - last > EVENTS_BETWEEN_STATISTICS) {
      write('$stats-127.0.0.1:2113', [systemEvent('$statsCollected', { entries: entries.length })])
    }
  }

  const limitsOf = (stream: string): Limits => readLimits(streams.get(`$$${stream}`)?.at(-1))

  function oldestOf(stream: string): number {
    const { $maxAge } = limitsOf(stream)
    return $maxAge === undefined ? 0 : now() - $maxAge * 1_000
  }

  const mostOf = (stream: string): number => limitsOf(stream).$maxCount ?? Number.POSITIVE_INFINITY

  function isKept(entry: Entry): boolean {
    const newest = streams.get(entry.stream)?.at(-1)?.revision ?? 0
    const isWithin = entry.created >= oldestOf(entry.stream) && entry.revision > newest - mostOf(entry.stream)
    return isWithin || entry.revision === newest
  }

  function putBack(kept: Saved): void {
    entries.splice(0, entries.length, ...kept.entries)
    end = kept.end
    streams.clear()
    for (const entry of entries) {
      const there = streams.get(entry.stream)
      if (there) there.push(entry)
      else streams.set(entry.stream, [entry])
    }
  }

  if (saved) putBack(saved)
  else {
    write('$settings', [systemEvent('$settings', {}), systemEvent('$settings', { $userStreamAcl: {} })])
    writeStatistics()
  }

  return {
    append(stream, base, events) {
      const there = streams.get(stream) ?? []
      if (events.length === 0) return { revision: there.length - 1, position: undefined }
      if (base === there.length - 1) {
        const last = write(stream, events).at(-1)
        writeStatistics()
        return { revision: base + events.length, position: last?.position }
      }
      // The same events at the same place were appended before: the answer is that of the first time.
      const placed = there.slice(base + 1, base + 1 + events.length)
      const isRepeat = placed.length === events.length && placed.every(({ id }, i) => id === events[i]?.id)
      if (!isRepeat) return { actual: there.length - 1 }
      return { revision: base + events.length, position: placed.at(-1)?.position }
    },

    stream(name) {
      const there = streams.get(name)
      if (!there) return null
      const oldest = oldestOf(name)
      return there.slice(-mostOf(name)).filter(({ created }) => created >= oldest)
    },

    all: () => entries,

    indexAfter(position) {
      const index = entries.findLastIndex((entry) => entry.position <= position)
      const isEvent = entries[index]?.position === position || scavenged.has(position)
      const isBoundary = index < 0 || isEvent || position >= end
      return isBoundary ? index + 1 : null
    },

    watch(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },

    scavenge() {
      const kept = entries.filter(isKept)
      for (const entry of entries) if (!isKept(entry)) scavenged.add(entry.position)
      entries.splice(0, entries.length, ...kept)
    },

    backUp() {
      const kept = { entries: [...entries], end }
      return () => putBack(kept)
    },
  }
}

/** Bytes that count against the limit of one append. */
export const sizeOf = ({ type, data, metadata }: Proposed): number =>
  type.length * 2 + data.length + metadata.length

function systemEvent(type: string, data: object): Proposed {
  return {
    id: crypto.randomUUID(),
    type,
    contentType: 'application/json',
    data: Buffer.from(JSON.stringify(data)),
    metadata: new Uint8Array(),
  }
}

interface Limits {
  $maxAge?: number
  $maxCount?: number
}

const readLimits = (metadata: Entry | undefined): Limits =>
  metadata ? (JSON.parse(Buffer.from(metadata.data).toString()) as Limits) : {}
