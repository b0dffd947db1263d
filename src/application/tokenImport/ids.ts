import { v5 } from 'uuid'
import { canonical } from '../../domain/chain.ts'
import type { EventData } from '../../domain/events.ts'

/** Namespaces of the ids that an import derives. If one changed, every row would be imported a second time. */
const IMPORTED_TOKENS = 'd3f2a9c4-6f1e-4b7a-8c55-1e9b0a7d2c60'
const IMPORTED_EVENTS = '7a1c5e88-90d4-4f3b-a2b6-c4e8f05d3b19'

/** The id (UUID v5) of the token whose id in the old table is not a UUID. */
export const importedTokenId = (accountId: string, oldId: string): string =>
  v5(JSON.stringify([accountId, oldId]), IMPORTED_TOKENS)

/**
 * The id (UUID v5) of the event that a row becomes. Equal rows give equal ids, different rows different ones. Members
 * that rows did not have in version 1 of the event count only if they say something, since ids of rows that were
 * imported then were made without them.
 */
export function importedEventId(data: EventData<'TokenImported'>): string {
  const { description, metadata, allowedIps, ...ofVersion1 } = data
  const later = { description, metadata: Object.keys(metadata).length > 0 ? metadata : null, allowedIps }
  const said = Object.entries(later).filter(([, value]) => value !== null)
  return v5(canonical({ ...ofVersion1, ...Object.fromEntries(said) }), IMPORTED_EVENTS)
}
