import { existsSync } from 'node:fs'
import { type Document, type Query, type ReadModel, StoreUnavailableError } from '../../application/ports.ts'
import { DamagedError } from '../../domain/errors.ts'
import { present } from '../../../projections/change.ts'
import { createCheckpoints } from './checkpoints.ts'
import { createCollections, DOCUMENT, load, type Table } from './collections.ts'
import { type Database, openDatabase, type Row } from './database.ts'
import { createDocuments } from './documents.ts'
import type { SqliteOptions } from './event-store.ts'
import { createGroup } from './group.ts'
import { type Lock, lockFile } from './lock.ts'
import { isMatch, pageSql, whereSql } from './query.ts'
import { beyondUse, checkSeal, seal, unseal } from './seal.ts'

const SETTINGS = { synchronous: 'NORMAL', cacheKib: 24 * 1024, checkpointPages: 4_000 } as const

/**
 * Opens the read model in one SQLite file of its own, made if missing. It can be filled again from the log, so a
 * commit need not survive a power cut: the checkpoint is in the same transaction as the documents.
 * @throws StoreInUseError another process writes it; StoreUnavailableError; DamagedError
 */
export async function openSqliteReadModel(path: string, options: SqliteOptions = {}): Promise<ReadModel> {
  const { readOnly = false } = options
  const lock = readOnly ? undefined : await lockFile(path)
  try {
    const wasLeft = existsSync(path)
    const isSealed = checkSeal(path)
    const database = await openDatabase(path, { readOnly, ...SETTINGS })
    // After a crash nothing vouches for the file: then SQLite compares every index with its table.
    if (lock && wasLeft && !isSealed) assertIntact(database)
    if (lock) unseal(path)
    return readModel(database, lock)
  } catch (error) {
    lock?.release()
    throw error
  }
}

function assertIntact(database: Database): void {
  const found = database.prepare('PRAGMA integrity_check(1)').get()?.integrity_check
  if (found === 'ok') return
  database.close()
  throw beyondUse(database.path)
}

function readModel(database: Database, lock: Lock | undefined): ReadModel {
  let closed = false
  const collections = createCollections(database)
  const checkpoints = createCheckpoints(database)
  const documents = createDocuments(database)
  const group = createGroup(database, {
    beforeCommit: documents.write,
    afterCommit: documents.committed,
    afterRollback: documents.forget,
  })

  function assertOpen(): void {
    if (closed) throw new StoreUnavailableError(`${database.path} is closed`)
  }

  function page(table: Table, query: Query): Row[] {
    const found: Row[] = []
    for (const { text, values } of pageSql(query, table.sql)) {
      const missing = query.limit - found.length
      if (missing <= 0) break
      const sql = `SELECT ${DOCUMENT} FROM ${table.name} WHERE ${text} LIMIT ?`
      found.push(...database.prepare(sql).all(...values, missing))
    }
    return found
  }

  return {
    async open(projections) {
      assertOpen()
      if (lock) checkpoints.create()
      collections.open(projections, { create: lock !== undefined })
    },

    async checkpoint(projection) {
      assertOpen()
      return checkpoints.get(projection)
    },

    async apply(changes, checkpoint) {
      if (!lock) throw new StoreUnavailableError(`${database.path} is open for reading only`)
      const targets = changes.map((change) => [collections.table(change.collection), change] as const)
      return group.submit(() => {
        for (const [table, change] of targets) documents.apply(table, change)
        for (const projection of checkpoint?.of ?? [])
          checkpoints.advance(projection, checkpoint?.position ?? '')
      })
    },

    async get(collection, id) {
      assertOpen()
      const document = load(database, collections.table(collection), id)
      return document && present<Document>(id, document)
    },

    async find(collection, query) {
      assertOpen()
      const table = collections.table(collection)
      const rows = database.inTransaction('deferred', () => page(table, query))
      return rows.map((row) => {
        const document = present<Document>(...table.parse(row))
        if (!isMatch(document, query.where)) throw new DamagedError(`${collection}: an index is damaged`)
        return document
      })
    },

    async count(collection, where, limit) {
      assertOpen()
      const table = collections.table(collection)
      const { text, values } = whereSql(where, table.sql)
      const sql = `SELECT count(*) AS n FROM (SELECT 1 FROM ${table.name} WHERE ${text} LIMIT ?)`
      return Number(database.prepare(sql).get(...values, limit)?.n)
    },

    async ping() {
      assertOpen()
      database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()
    },

    // The lock on the file makes this the only process that writes it: it leads, and nobody else changes anything.
    lead: async () => ({ term: 1 }),
    async resign() {},
    async publish() {},
    isPublished: async () => true,
    watch: () => ({ isLive: () => true, async close() {} }),

    async close() {
      if (closed) return
      await group.close()
      closed = true
      try {
        // Sealed only when all of it is in the one file.
        if (lock && database.checkpoint()) seal(database.path)
      } finally {
        database.close()
        lock?.release()
      }
    },
  }
}
