import { createHash } from 'node:crypto'
import { v5, v7 } from 'uuid'
import { canonical } from '../../domain/chain.ts'
import type { EventData } from '../../domain/events.ts'

/** Ids as arguments, so that tests can choose them. */
export interface Ids {
  /** A time-ordered UUID (v7). */
  random(): string
  /** The UUID (v5) that an account's idempotency key always leads to. */
  derived(accountId: string, idempotencyKey: string): string
  /** SHA-256 in lower-case hex. */
  digest(text: string): string
}

/** Namespace of the ids derived from idempotency keys. Changing it would make every key new. */
const NAMESPACE = '5b0f6c7e-5f0c-4d53-9f2e-0d3a4c1f7a10'

/** Namespaces of what an import derives. Changing one would import every row a second time. */
const IMPORTED_TOKENS = 'd3f2a9c4-6f1e-4b7a-8c55-1e9b0a7d2c60'
const IMPORTED_EVENTS = '7a1c5e88-90d4-4f3b-a2b6-c4e8f05d3b19'

/** The UUID (v5) of the token that an old table knows by an id which is none. */
export const importedTokenId = (accountId: string, oldId: string): string =>
  v5(JSON.stringify([accountId, oldId]), IMPORTED_TOKENS)

/** The UUID (v5) of the event that a row becomes: the same row gives the same, another row another one. */
export const importedEventId = (data: EventData<'TokenImported'>): string =>
  v5(canonical(data), IMPORTED_EVENTS)

export const ids: Ids = {
  random: () => v7(),
  derived: (accountId, key) => v5(JSON.stringify([accountId, key]), NAMESPACE),
  digest: (text) => createHash('sha256').update(text).digest('hex'),
}
