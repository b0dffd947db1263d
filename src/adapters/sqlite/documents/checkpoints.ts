import type { Checkpoint, Checkpoints, Step } from '../../../application/ports/checkpoints.ts'
import { LeadershipLostError } from '../../../application/ports/errors.ts'
import type { Projection } from '../../../../projections/projection.ts'
import { DamagedError } from '../../../domain/errors.ts'
import { bytes, checksum, type Database, integer, toBytes, toText } from '../database/database.ts'

/** The table that holds how far each version of each projection has come. */
export interface CheckpointTable {
  create(): void
  /** All of them as they are now, to be asked for by projection. Whoever needs several has them read only once. */
  read(): (projection: Projection) => Checkpoint | null
  set(projection: Projection, checkpoint: Checkpoint): void
}

const COLUMNS = 'projection, version, position, crc, event, event_crc'
const SELECT = `SELECT ${bytes('projection')}, ${integer('version')}, ${bytes('position')}, ${integer('crc')},
  ${bytes('event')}, ${integer('event_crc')}
  FROM checkpoints`

export function createCheckpointTable(database: Database): CheckpointTable {
  return {
    create() {
      database.exec(`
        CREATE TABLE IF NOT EXISTS checkpoints (
          projection TEXT NOT NULL,
          version INTEGER NOT NULL,
          position TEXT NOT NULL,
          crc INTEGER NOT NULL,
          event TEXT,
          event_crc INTEGER,
          PRIMARY KEY (projection, version)
        ) STRICT, WITHOUT ROWID`)
      // Older programs made the table without the column `event`. They can still use it with the column added.
      const columns = database.prepare('PRAGMA table_info(checkpoints)').all()
      if (columns.some(({ name }) => name === 'event')) return
      database.exec('ALTER TABLE checkpoints ADD COLUMN event TEXT')
      database.exec('ALTER TABLE checkpoints ADD COLUMN event_crc INTEGER')
    },

    read() {
      // All rows are checked, not only a wanted one: if its name were damaged, the checkpoint would seem to be missing.
      const rows = database.prepare(SELECT).all()
      for (const { projectionBytes, version: of, positionBytes, crc, eventBytes, event_crc } of rows) {
        const isSound = crc === checksum(toBytes(projectionBytes), String(of), toBytes(positionBytes))
        if (!isSound || (event_crc !== null && event_crc !== checksum(toBytes(eventBytes)))) {
          throw new DamagedError(`${database.path}: the checkpoint of ${toText(projectionBytes)} is damaged`)
        }
      }
      return ({ name, version }) => {
        const mine = rows.find((row) => toText(row.projectionBytes) === name && row.version === version)
        // A checkpoint without its event does not show to which log it belongs. So everything is read again.
        return mine && mine.event_crc !== null ? (JSON.parse(toText(mine.eventBytes)) as Checkpoint) : null
      }
    },

    set({ name, version }, checkpoint) {
      const { position } = checkpoint
      const event = JSON.stringify(checkpoint)
      database
        .prepare(`INSERT OR REPLACE INTO checkpoints (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)`)
        .run(name, version, position, checksum(name, String(version), position), event, checksum(event))
    },
  }
}

type Get = (projection: Projection) => Checkpoint | null

/**
 * An error if a piece of the log does not follow on the checkpoints: events between are missing, or it is of another
 * log.
 */
export function gapBefore(get: Get, from: Checkpoints): LeadershipLostError | null {
  for (const [projection, after] of from) {
    if (after === null) continue
    const at = get(projection)
    const isOther = at?.position === after.position && at.id !== after.id
    if (at === null || at.position < after.position || isOther)
      return new LeadershipLostError(
        `${projection.name} is at ${at?.position ?? 'the start'}, this follows on ${after.position}`,
      )
  }
  return null
}

/** The checkpoints that a step moves. None moves back. */
export function moved(get: Get, { to }: Step): [Projection, Checkpoint][] {
  return [...to].flatMap(([projection, checkpoint]) =>
    checkpoint !== null && checkpoint.position > (get(projection)?.position ?? '')
      ? [[projection, checkpoint] as [Projection, Checkpoint]]
      : [],
  )
}
