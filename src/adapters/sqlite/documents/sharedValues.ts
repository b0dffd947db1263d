import { SharedValueError } from '../../../application/ports/errors.ts'
import type { Projection } from '../../../../projections/projection.ts'
import type { Collections } from './collections.ts'
import { bytes, type Database, toText } from '../database/database.ts'

/** How many rows are reported at a time. When these are put right, the caller asks again. */
const ROWS = 20_000

/** The documents with equal values, because of which a unique index cannot be made. */
export function sharedValues(
  database: Database,
  collections: Collections,
  projections: readonly Projection[],
): SharedValueError {
  for (const { name, indexes } of projections.flatMap((one) => one.collections)) {
    for (const { fields, unique } of indexes) {
      const table = collections.table(name)
      const groups = unique ? groupsIn(database, table.name, fields.map(table.sql)) : []
      if (groups.length > 0) return new SharedValueError(name, groups)
    }
  }
  throw new RangeError('no value is in more than one document')
}

/** The limit may cut the last group short. If only one document is left of it, the group is dropped. */
function groupsIn(database: Database, table: string, columns: readonly string[]): string[][] {
  const on = columns.join(', ')
  const key = columns.map((column) => `quote(${column})`).join(` || ', ' || `)
  const rows = database
    .prepare(
      `SELECT ${bytes('id')}, ${bytes(`(${key})`, 'key')} FROM ${table} JOIN
         (SELECT ${on} FROM ${table} WHERE ${columns[0]} IS NOT NULL GROUP BY ${on} HAVING count(*) > 1)
         USING (${on}) ORDER BY ${on} LIMIT ${ROWS}`,
    )
    .all()
  const groups = new Map<string, string[]>()
  for (const { idBytes, keyBytes } of rows) {
    const group = groups.get(toText(keyBytes)) ?? []
    groups.set(toText(keyBytes), group)
    group.push(toText(idBytes))
  }
  return [...groups.values()].filter((group) => group.length > 1)
}
