import { type Checkpoint, type Step, StoreUnavailableError } from '../../application/ports.ts'
import type { Change, Projection } from '../../../projections/projection.ts'
import { createCheckpoints, gapBefore, moved } from './checkpoints.ts'
import { type Collections, createCollections } from './collections.ts'
import type { Database } from './database.ts'
import { createDocuments } from './documents.ts'
import { toRefusal } from './errors.ts'
import { createGroup, Refused } from './group.ts'
import type { Lock } from './lock.ts'
import { type OpenedFiles, openedFiles } from './opened-files.ts'

export const SETTINGS = { synchronous: 'NORMAL', cacheKib: 24 * 1024, checkpointPages: 4_000 } as const

/** One generation of the read model's documents: a file, open for reading or, with its lock, for writing. */
export interface ModelFile {
  readonly database: Database
  readonly collections: Collections
  open(projections: readonly Projection[]): void
  checkpoint(projection: Projection): Checkpoint | null
  readonly files: OpenedFiles
  apply(changes: readonly Change[], step?: Step): Promise<void>
  /** Refuses new work and waits for what was taken. */
  settle(): Promise<void>
}

export function modelFile(database: Database, lock: Lock | undefined): ModelFile {
  const collections = createCollections(database)
  const checkpoints = createCheckpoints(database)
  const documents = createDocuments(database)
  const files = openedFiles(database)
  const group = createGroup(database, {
    beforeCommit() {
      files.assert()
      documents.write()
    },
    afterCommit() {
      files.own()
      documents.committed()
    },
    afterRollback: documents.forget,
  })

  return {
    database,
    collections,
    files,

    open(projections) {
      if (lock) checkpoints.create()
      collections.open(projections, lock ? 'with indexes' : 'not')
      files.own()
    },

    checkpoint: checkpoints.get,

    async apply(changes, step) {
      if (!lock) throw new StoreUnavailableError(`${database.path} is open for reading only`)
      const targets = changes.map((change) => [collections.table(change.collection), change] as const)
      const work = () => {
        const gap = step ? gapBefore(checkpoints.get, step.from) : null
        if (gap) throw new Refused(gap)
        for (const [table, change] of targets) documents.apply(table, change)
        for (const [projection, to] of step ? moved(checkpoints.get, step) : [])
          checkpoints.set(projection, to)
      }
      await group.submit(work).catch((error: unknown) => {
        throw toRefusal(error)
      })
    },

    settle: group.close,
  }
}
