import { createHash } from 'node:crypto'
import { v5, v7 } from 'uuid'

/** Where ids come from. It is passed as an argument, so that tests can choose the ids. */
export interface Ids {
  /** A time-ordered UUID (v7). */
  random(): string
  /** The UUID (v5) that an account's idempotency key always leads to. */
  derived(accountId: string, idempotencyKey: string): string
  /** SHA-256 in lower-case hex. */
  digest(text: string): string
}

/** Namespace of the ids derived from idempotency keys. If it changed, every key would count as a new one. */
const NAMESPACE = '5b0f6c7e-5f0c-4d53-9f2e-0d3a4c1f7a10'

export const ids: Ids = {
  random: () => v7(),
  derived: (accountId, key) => v5(JSON.stringify([accountId, key]), NAMESPACE),
  digest: (text) => createHash('sha256').update(text).digest('hex'),
}
