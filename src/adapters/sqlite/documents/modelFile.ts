import type { Checkpoint, Step } from '../../../application/ports/checkpoints.ts'
import type { Logger } from '../../../application/ports/telemetry.ts'
import { StoreUnavailableError } from '../../../application/ports/errors.ts'
import type { DocumentChange, Projection } from '../../../../projections/projection.ts'
import { createCheckpointTable, gapBefore, moved } from './checkpoints.ts'
import type { Claim } from '../database/claim.ts'
import { type Collections, createCollections } from './collections.ts'
import type { Database } from '../database/database.ts'
import { createDocuments } from './documents.ts'
import { toRefusal } from '../database/errors.ts'
import { createGroup, Refused } from '../database/groupCommit.ts'
import { type OpenedFiles, openedFiles } from '../database/openedFiles.ts'
import { whenFree } from '../database/whenFree.ts'

export const SETTINGS = { synchronous: 'NORMAL', cacheKib: 24 * 1024, checkpointPages: 4_000 } as const

/** The file of one generation of the read model. It is open for reading; for its writer, also for writing. */
export interface ModelFile {
  readonly database: Database
  readonly collections: Collections
  readonly files: OpenedFiles
  open(projections: readonly Projection[]): Promise<void>
  checkpoint(projection: Projection): Checkpoint | null
  apply(changes: readonly DocumentChange[], step?: Step): Promise<void>
  /** Has another process begun to write it? Then this process must not believe anything that it remembers of it. */
  isLost(): boolean
  /** What kept the last change from being written, or null. */
  trouble(): StoreUnavailableError | null
  /** Runs work of the writer in a transaction, together with everything else that is written. */
  submit(work: () => void): Promise<void>
  /** Refuses new work, finishes what was accepted, and withdraws the claim. */
  settle(): Promise<void>
}

/** @param claim the claim of its writer; undefined for a reader */
export function modelFile(database: Database, claim: Claim | undefined, log?: Logger): ModelFile {
  const collections = createCollections(database)
  const checkpoints = createCheckpointTable(database)
  const documents = createDocuments(database)
  const files = openedFiles(database)
  const group = createGroup(database, {
    afterBegin: claim?.assertMine,
    probe: claim?.renew,
    log,
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

    open: (projections) =>
      whenFree(() => {
        if (claim) checkpoints.create()
        collections.open(projections, claim ? 'with indexes' : 'not')
        files.own()
      }),

    checkpoint: (projection) => checkpoints.read()(projection),

    async apply(changes, step) {
      if (!claim) throw new StoreUnavailableError(`${database.path} is open for reading only`)
      const targets = changes.map((one) => [collections.table(one.collection), one] as const)
      const change = (): void => {
        for (const [table, one] of targets) documents.apply(table, one)
      }
      const changeAndMove = (by: Step): void => {
        const at = checkpoints.read()
        const gap = gapBefore(at, by.from)
        if (gap) throw new Refused(gap)
        change()
        for (const [projection, to] of moved(at, by)) checkpoints.set(projection, to)
      }
      await group.submit(step ? () => changeAndMove(step) : change).catch((error: unknown) => {
        throw toRefusal(error)
      })
    },

    isLost: () => claim?.isLost() ?? false,
    trouble: group.trouble,
    submit: group.submit,
    async settle() {
      await group.close(claim?.withdraw)
      claim?.end()
    },
  }
}
