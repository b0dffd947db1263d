import { Refusal } from './errors.ts'
import type { Actor, EventData, EventType } from './events.ts'
import type { TokenState } from './token.ts'

/** What a command does to a token: a fact without its envelope. A command causes one at most. */
export type Fact<T extends EventType = EventType> = T extends EventType
  ? { type: T; data: EventData<T> }
  : never

export type TokenUpdate = EventData<'TokenUpdated'>

export function create(state: TokenState, data: EventData<'TokenCreated'>): Fact<'TokenCreated'> {
  if (state.status !== 'none') throw new Refusal('conflict', 'The token exists already.')
  return { type: 'TokenCreated', data }
}

/** @param data from a row of the table that the token comes from, with its times as they are there */
export function importToken(state: TokenState, data: EventData<'TokenImported'>): Fact<'TokenImported'> {
  if (state.status !== 'none') throw new Refusal('conflict', 'The token exists already.')
  return { type: 'TokenImported', data }
}

/** How many events a token's stream may have, and how many of them the token itself may not cause. */
const MOST_EVENTS = 10_000
const NOT_FOR_TOKENS = 1_000

/** The members of a change that the token does not have already, since forms send every member. */
export function changed(state: TokenState, change: TokenUpdate): TokenUpdate {
  const data: TokenUpdate = { ...change }
  if (state.status === 'none') return data
  if (change.name === state.name) delete data.name
  if (change.expiresAt === state.expiresAt) delete data.expiresAt
  if (change.scopes !== undefined && sameScopes(change.scopes, state.scopes)) delete data.scopes
  return data
}

/**
 * A change that changes nothing gives no event. `ifMatch` is checked after the state, whatever the change is. Room in
 * the stream is checked only if there is an event.
 */
export function update(
  state: TokenState,
  change: TokenUpdate,
  ifMatch: (revision: number) => boolean,
  by: Actor['kind'],
): Fact<'TokenUpdated'> | null {
  if (state.status === 'none') throw new Refusal('not_found', 'No such token.')
  if (state.status === 'revoked') throw new Refusal('token_revoked', 'A revoked token cannot be changed.')
  if (!ifMatch(state.revision)) throw staleRevision()
  const data = changed(state, change)
  if (Object.keys(data).length === 0) return null
  assertRoom(state.revision + 1, by)
  return { type: 'TokenUpdated', data }
}

/** Not checked for a revocation, nor for what the system writes: those are never refused. */
function assertRoom(events: number, by: Actor['kind']): void {
  if (events < MOST_EVENTS - (by === 'token' ? NOT_FOR_TOKENS : 0)) return
  throw new Refusal(
    'token_history_full',
    "The token's history has no room for another change: make a new token, and revoke this one.",
  )
}

/** Revoking twice is the same as revoking once, whatever `ifMatch` says the second time. */
export function revoke(
  state: TokenState,
  reason: string | null,
  ifMatch: (revision: number) => boolean,
): Fact<'TokenRevoked'> | null {
  if (state.status === 'none') throw new Refusal('not_found', 'No such token.')
  if (state.status === 'revoked') return null
  if (!ifMatch(state.revision)) throw staleRevision()
  return { type: 'TokenRevoked', data: { reason } }
}

export const staleRevision = () =>
  new Refusal('precondition_failed', 'The token has changed since the revision that was named.')

const sameScopes = (a: readonly string[], b: readonly string[] = []): boolean =>
  a.length === b.length && a.every((scope, i) => scope === b[i])
