import { createHash } from 'node:crypto'
import { checkRows } from '../../../src/application/tokenImport/checkRows.ts'
import { compareRows, importRows } from '../../../src/application/tokenImport/importTokens.ts'
import type { RowRules } from '../../../src/application/tokenImport/row.ts'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import { chunked } from './transfer.ts'

/** A row in the form of the old system's table. */
export type OldRow = Record<string, unknown>

/** A token that the old system gave to a user, and the hash that it kept of it. */
export const oldToken = (n: number): string => `old/${String(n).padStart(4, '0')}:secret=+~`
export const sha256 = (token: string): string => createHash('sha256').update(token).digest('hex')

export const UUID_OF_ROW = '0c1f9b7e-4d2a-4e0b-9a65-7b1d3c5e8f21'

/** A good row. Its id and its token are different for each `n`. */
export const oldRow = (n: number, fields: OldRow = {}): OldRow => ({
  id: n,
  token: sha256(oldToken(n)),
  account_id: 'acct_1',
  name: `old token ${n}`,
  created_at: '2024-05-01T10:00:00Z',
  updated_at: '2024-06-01T10:00:00.5+02:00',
  last_accessed: null,
  expires_at: null,
  ...fields,
})

export const fileOfRows = (rows: readonly OldRow[]): string =>
  rows.map((row) => `${JSON.stringify(row)}\n`).join('')

export const NOW = '2026-11-20T00:00:00.000Z'
export const RULES: RowRules = { now: NOW, catalogue: null, reservedScope: null }

/** Imports the rows in the same steps as the command. */
export async function takeOver(
  store: EventStore,
  file: string,
  now: string = NOW,
): Promise<{ written: number; there: number }> {
  const rows = await checkRows(chunked(file), { ...RULES, now }, () => {})
  const found = await compareRows(rows, store, () => {})
  const clock = () => Date.parse(now)
  const written = await importRows(chunked(file), rows, found, { store, clock }, () => {})
  return { written, there: found.filter(Boolean).length }
}
