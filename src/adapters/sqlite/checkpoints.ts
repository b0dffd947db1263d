import type { Projection } from '../../../projections/projection.ts'
import { DamagedError } from '../../domain/errors.ts'
import { bytes, checksum, type Database, integer, toBytes, toText } from './database.ts'

/** How far each version of each projection has come. */
export interface Checkpoints {
  create(): void
  get(projection: Projection): string | null
  /** Never moves backwards. */
  advance(projection: Projection, position: string): void
}

const SELECT = `SELECT ${bytes('projection')}, ${integer('version')}, ${bytes('position')}, ${integer('crc')}
  FROM checkpoints`

export function createCheckpoints(database: Database): Checkpoints {
  function get({ name, version }: Projection): string | null {
    // All rows, not the one: a name that was damaged would be a checkpoint that is not there.
    const rows = database.prepare(SELECT).all()
    for (const { projectionBytes, version: of, positionBytes, crc } of rows) {
      if (crc !== checksum(toBytes(projectionBytes), String(of), toBytes(positionBytes))) {
        throw new DamagedError(`${database.path}: the checkpoint of ${toText(projectionBytes)} is damaged`)
      }
    }
    const mine = rows.find((row) => toText(row.projectionBytes) === name && row.version === version)
    return mine ? toText(mine.positionBytes) : null
  }

  return {
    create() {
      database.exec(`
        CREATE TABLE IF NOT EXISTS checkpoints (
          projection TEXT NOT NULL,
          version INTEGER NOT NULL,
          position TEXT NOT NULL,
          crc INTEGER NOT NULL,
          PRIMARY KEY (projection, version)
        ) STRICT, WITHOUT ROWID`)
    },
    get,
    advance(projection, position) {
      const { name, version } = projection
      if (position <= (get(projection) ?? '')) return
      database
        .prepare(
          'INSERT OR REPLACE INTO checkpoints (projection, version, position, crc) VALUES (?, ?, ?, ?)',
        )
        .run(name, version, position, checksum(name, String(version), position))
    },
  }
}
