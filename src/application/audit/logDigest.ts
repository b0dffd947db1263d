import { createHash, type Hash } from 'node:crypto'
import { storedChain } from '../../domain/chain.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { USAGE_STREAM } from '../../domain/streams.ts'

/**
 * A short digest of all that a log holds: SHA-256 over stream, revision and link of its events, a line for each, in log
 * order. Positions are left out, since an export and import changes them but keeps the order. Retention takes usage
 * from the front, so each day of usage has a digest of its own; all other streams together have one.
 */
export interface LogDigest {
  /** All events, in log order. */
  all: LogPart
  /** The streams that retention never shortens, mainly the lives of tokens. */
  kept: LogPart
  /** Usage streams, by the day that is in their name: `2026-11-02`. */
  usageDays: Record<string, LogPart>
}

export interface LogPart {
  events: number
  /** SHA-256 in lower-case hex. */
  digest: string
}

const DAY = new RegExp(`^${USAGE_STREAM}.*_(\\d{4})(\\d\\d)(\\d\\d)$`)

/** A part while it is read. `mark` is the number of events of an earlier digest, `atMark` the digest at that number. */
interface Reading {
  mark: number | undefined
  events: number
  hash: Hash
  atMark: string | null
}

export interface LogDigester {
  add(event: StoredEvent): void
  result(): LogDigest
  /** The parts that differ from `marks`; none if the log still begins with the events that they were made of. */
  differences(): LogDifference[]
}

export interface LogDifference {
  part: 'all' | 'kept' | { usageDay: string }
  /** How many events the part had, and how many of these there can still be at most. */
  was: number
  left: number
}

/** @param marks an earlier digest, to compare the log with */
export function createLogDigester(marks?: LogDigest): LogDigester {
  const all = reading(marks?.all)
  const kept = reading(marks?.kept)
  const days = new Map(Object.entries(marks?.usageDays ?? {}).map(([day, mark]) => [day, reading(mark)]))

  function partOf(stream: string): Reading {
    const [, year, month, date] = DAY.exec(stream) ?? []
    if (year === undefined) return kept
    const day = `${year}-${month}-${date}`
    const part = days.get(day) ?? reading()
    days.set(day, part)
    return part
  }

  return {
    add(event) {
      const line = `${JSON.stringify([event.stream, event.revision, storedChain(event)])}\n`
      for (const part of [all, partOf(event.stream)]) {
        part.hash.update(line)
        part.events++
        if (part.events === part.mark) part.atMark = digestOf(part)
      }
    },
    result: () => ({
      all: toPart(all),
      kept: toPart(kept),
      usageDays: Object.fromEntries([...days].sort(byName).map(([day, part]) => [day, toPart(part)])),
    }),
    differences: () => [
      ...difference('all', all, marks?.all),
      ...difference('kept', kept, marks?.kept),
      ...Object.entries(marks?.usageDays ?? {}).flatMap(([usageDay, mark]) =>
        difference({ usageDay }, days.get(usageDay) as Reading, mark),
      ),
    ],
  }
}

function reading(mark?: LogPart): Reading {
  const part: Reading = { mark: mark?.events, events: 0, hash: createHash('sha256'), atMark: null }
  if (mark?.events === 0) part.atMark = digestOf(part)
  return part
}

const digestOf = ({ hash }: Reading): string => hash.copy().digest('hex')
const toPart = (part: Reading): LogPart => ({ events: part.events, digest: digestOf(part) })
const byName = ([a]: [string, Reading], [b]: [string, Reading]): number => (a < b ? -1 : 1)

const difference = (
  part: LogDifference['part'],
  { events, atMark }: Reading,
  mark?: LogPart,
): LogDifference[] =>
  !mark || atMark === mark.digest ? [] : [{ part, was: mark.events, left: Math.min(events, mark.events) }]
