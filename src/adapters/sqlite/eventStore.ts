import { statSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Appended, EventStore, ExpectedRevision } from '../../application/ports/eventStore.ts'
import { ConflictError, StoreUnavailableError } from '../../application/ports/errors.ts'
import type { Logger } from '../../application/ports/telemetry.ts'
import { DamagedError, MissingEventError } from '../../domain/errors.ts'
import type { NewEvent, StoredEvent } from '../../domain/events.ts'
import { assertNotElsewhere, type Claim, claimDatabase } from './database/claim.ts'
import { type Database, openDatabase, type SqlRow } from './database/database.ts'
import * as rows from './log/eventRows.ts'
import { createGroup, Refused } from './database/groupCommit.ts'
import { type Lock, lockFile } from './database/lock.ts'
import { isInMemory, NO_CLAIM, NO_LOCK } from './database/memory.ts'
import { createWakeUp, follow, type LogPage } from './log/follow.ts'
import { createPageSize } from './log/pageSize.ts'
import { openedFiles } from './database/openedFiles.ts'
import { firstMissing, sweepSome, sweptRevision } from './log/sweep.ts'
import { walBytes } from './database/walWatch.ts'
import { whenFree } from './database/whenFree.ts'

const MAX_EVENTS_PER_APPEND = 100
const PAGE = 100

export interface SqliteOptions {
  /** For a second process. It takes no lock, and so cannot write. */
  readOnly?: boolean
  /** Gets a line when a file cannot be written, and when it can be again. */
  log?: Logger
}

/**
 * Opens the event log in one SQLite file, and makes the file if it is missing. One process writes it; others may read
 * it at any time. `:memory:` is no file: it is a log of its own each time, and is gone when it is closed. A position has 16 decimal digits. There are no gaps between positions, except where events were
 * swept.
 * @throws StoreInUseError if another process writes it; StoreUnavailableError; DamagedError
 */
export async function openSqliteEventStore(path: string, options: SqliteOptions = {}): Promise<EventStore> {
  const { readOnly = false, log } = options
  if (isInMemory(path)) {
    return eventStoreOn(await openDatabase(path, { synchronous: 'FULL' }), NO_LOCK, { claim: NO_CLAIM, log })
  }
  const lock = readOnly ? undefined : await lockFile(path)
  let [database, claim]: [Database?, Claim?] = []
  try {
    if (lock) {
      assertWhole(path)
      await assertNotElsewhere(path)
    }
    const opened = (database = await openDatabase(path, { readOnly, synchronous: 'FULL' }))
    // Checked before anything is written, so that a file of another kind is left alone.
    if (lock && !rows.isNew(opened)) rows.checkFormat(opened)
    if (lock) claim = await claimDatabase(opened, log)
    return await whenFree(() => eventStoreOn(opened, lock, { claim, log }))
  } catch (error) {
    claim?.end()
    database?.close()
    lock?.release()
    throw error
  }
}

/** Refuses if the file is gone or empty, but has a write-ahead log beside it: SQLite would delete that log. */
function assertWhole(path: string): void {
  if (walBytes(path) === 0 || (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0) return
  throw new StoreUnavailableError(
    `${path} is gone or empty, and ${path}-wal has changes of it: put it back, or remove ${path}-wal as well`,
  )
}

interface Writing {
  claim?: Claim | undefined
  log?: Logger | undefined
}

/** The event store on an open database; it writes only with the lock, and releases that when it is closed. */
export function eventStoreOn(
  database: Database,
  lock: Lock | undefined,
  { claim, log }: Writing = {},
): EventStore {
  if (lock) rows.createTables(database)
  rows.checkFormat(database)
  const files = lock && openedFiles(database)
  // In one transaction, since another process may write between the two statements.
  const newestPosition = (): number => database.inTransaction('deferred', () => rows.newestPosition(database))
  let written = newestPosition()
  let committed = written
  let open = true
  const wakeUp = createWakeUp()
  const group = createGroup(database, {
    afterBegin: claim?.assertMine,
    beforeCommit: files?.assert,
    probe: claim?.renew,
    log,
    afterCommit() {
      files?.own()
      const grown = written > committed
      committed = written
      if (grown) wakeUp.all()
    },
    afterRollback() {
      written = committed
    },
  })

  function appendNow(stream: string, base: number, events: readonly NewEvent[]): Appended {
    const newest = rows.newestRevision(database, stream)
    if (newest !== base) return appendedBefore(database, stream, base, newest, events)
    events.forEach((event, i) => {
      rows.insertEvent(database, ++written, stream, base + 1 + i, event)
    })
    const revision = base + events.length
    rows.setNewestRevision(database, stream, revision)
    return { revision, position: rows.toPosition(written) }
  }

  function isReplaced(): boolean {
    try {
      files?.assert()
      return false
    } catch {
      return true
    }
  }

  function assertOpen(): void {
    if (!open) throw new StoreUnavailableError(`${database.path} is closed`)
    if (claim?.isLost()) throw new StoreUnavailableError(`${database.path} was taken over by another process`)
  }

  /** The next rows of the log, sound or damaged. @throws DamagedError if a row is missing before them */
  function page(after: number, most: number): LogPage {
    assertOpen()
    return database.inTransaction('deferred', () => {
      const found = rows.rowsAfter(database, after, most)
      const end = rows.newestPosition(database)
      const sound: SqlRow[] = []
      let last = after
      for (const row of found) {
        const position = Number(row.position)
        const missing = firstMissing(database, last + 1, position)
        if (missing !== null && sound.length === 0)
          throw lost(database, missing, Math.max(missing, position - 1))
        if (missing !== null) return { rows: sound, last, caughtUp: false }
        sound.push(row)
        last = position
      }
      if (sound.length === 0 && last < end) throw lost(database, last + 1, end)
      return { rows: sound, last, caughtUp: last >= end }
    })
  }

  return {
    async append(stream, expected, events) {
      const base = baseRevision(expected)
      if (events.length === 0 || events.length > MAX_EVENTS_PER_APPEND) {
        throw new RangeError(`an append has 1 to ${MAX_EVENTS_PER_APPEND} events, not ${events.length}`)
      }
      if (!lock) throw new StoreUnavailableError(`${database.path} is open for reading only`)
      return group.submit(() => appendNow(stream, base, events))
    },

    async readStream(stream, fromRevision = 0, limit = Number.MAX_SAFE_INTEGER) {
      const events: StoredEvent[] = []
      for (let next = fromRevision; ; ) {
        assertOpen()
        const most = Math.min(PAGE, limit - events.length)
        const some = database.inTransaction('deferred', () => streamEvents(database, stream, next, most))
        // A sweep has removed events between two pages, and so also those before them.
        if (events.length > 0 && some.length > 0 && some[0]?.revision !== next) events.length = 0
        events.push(...some)
        if (some.length < most || events.length === limit) return events
        next = (some.at(-1)?.revision ?? next) + 1
        await nextTurn()
      }
    },

    async at(position) {
      assertOpen()
      files?.assert()
      if (!rows.isPosition(position)) return null
      const row = rows.rowAt(database, rows.fromPosition(position))
      return row ? rows.toEvent(row) : null
    },

    async *readAll(after) {
      let last = rows.fromPosition(after)
      const size = createPageSize()
      for (;;) {
        const next = page(last, size.rows())
        size.learn(next.rows)
        if (next.rows.length > 0) yield next.rows.map(rows.toEvent)
        if (next.caughtUp) return
        last = next.last
        await nextTurn()
      }
    },

    subscribe: (after, prefixes, signal) =>
      follow({
        after: rows.fromPosition(after),
        prefixes,
        signal,
        page,
        end: () => committed,
        wakeUp,
        polls: !lock,
        isOpen: () => open,
      }),

    async sweep(stream, upTo) {
      if (!lock) throw new StoreUnavailableError(`${database.path} is open for reading only`)
      return group.submit(() => sweepSome(database, stream, upTo, committed))
    },

    async head() {
      assertOpen()
      files?.assert()
      const position = newestPosition()
      return position === 0 ? null : rows.toPosition(position)
    },

    isWritable: () => group.trouble() === null,
    unmovedBytes: () => walBytes(database.path),

    async close() {
      await group.close(claim?.withdraw)
      // Somebody else may have asked for it, too, and waited for the same.
      if (!open) return
      open = false
      claim?.end()
      wakeUp.all()
      if (isReplaced()) {
        // Closing the database would move its write-ahead log into whatever file is at the path now.
        lock?.release()
        return
      }
      try {
        // libsql closes the file only when its statements are garbage-collected, so the WAL is emptied before.
        if (lock) database.checkpoint()
      } finally {
        database.close()
        lock?.release()
      }
    },
  }
}

function baseRevision(expected: ExpectedRevision): number {
  if (expected === 'no_stream') return -1
  if (!Number.isSafeInteger(expected) || expected < 0) throw new RangeError(`${expected} is no revision`)
  return expected
}

/** If the same events are at the same place, the append is a repetition and gets its first answer. */
function appendedBefore(
  database: Database,
  stream: string,
  base: number,
  newest: number,
  events: readonly NewEvent[],
): Appended {
  const there = newest < base + events.length ? [] : rows.rowsOf(database, stream, base + 1, events.length)
  const last = there.at(-1)
  if (!last || there.some((row, i) => rows.idOf(row) !== events[i]?.id))
    throw new Refused(new ConflictError(stream, newest))
  return { revision: base + events.length, position: rows.toPosition(Number(last.position)) }
}

function streamEvents(database: Database, stream: string, from: number, limit: number): StoredEvent[] {
  const found = rows.rowsOf(database, stream, from, limit)
  const events = found.map(rows.toEvent)
  const newest = rows.newestRevision(database, stream)
  const isWhole = found[0]?.revision === from || from > newest
  const first = isWhole ? from : Math.max(from, sweptRevision(database, stream) + 1)
  found.forEach((row, i) => {
    if (Number(row.revision) > first + i)
      throw new MissingEventError(`${stream}: no event at revision ${first + i}`)
    if (rows.streamOf(row) !== stream || row.revision !== first + i || events[i]?.metadata === null) {
      throw new DamagedError(`${stream}: the event at revision ${first + i} is damaged`)
    }
  })
  const next = first + found.length
  if (found.length < limit && next <= newest)
    throw new MissingEventError(`${stream}: no event at revision ${next}`)
  if (found.length > 0 && next - 1 > newest)
    throw new DamagedError(`${stream}: events after its newest revision`)
  return events
}

const lost = (database: Database, first: number, last: number): DamagedError =>
  new DamagedError(`${database.path}: no event at position ${first}${last > first ? ` to ${last}` : ''}`, {
    after: rows.toPosition(last),
  })
