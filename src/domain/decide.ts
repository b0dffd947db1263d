import { canonical } from './chain.ts'
import { Refusal } from './errors.ts'
import type { Actor, EventData, Fact } from './events.ts'
import { lastDue } from './expiry.ts'
import { type ExistingToken, ownSecret, rotationStatusAt, type Secret, type TokenState } from './token.ts'

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
  if (change.scopes !== undefined && sameTexts(change.scopes, state.scopes)) delete data.scopes
  if (change.description === state.description) delete data.description
  if (change.rotatable === state.rotatable) delete data.rotatable
  if (change.metadata !== undefined && canonical(change.metadata) === canonical(state.metadata))
    delete data.metadata
  if (change.allowedIps !== undefined && sameTexts(change.allowedIps, state.allowedIps))
    delete data.allowedIps
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
  const token = living(state, 'changed')
  if (!ifMatch(token.revision)) throw staleRevision()
  const data = changed(token, change)
  if (Object.keys(data).length === 0) return null
  assertRoom(token.revision + 1, by)
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

/** Of a token in any state: it may have been revoked before it was found. */
export function leak(state: TokenState, data: EventData<'TokenLeaked'>): Fact<'TokenLeaked'> {
  if (state.status === 'none') throw new Refusal('not_found', 'No such token.')
  return { type: 'TokenLeaked', data }
}

export const staleRevision = () =>
  new Refusal('precondition_failed', 'The token has changed since the revision that was named.')

const sameTexts = (a: readonly string[] | null, b: readonly string[] | null): boolean =>
  a === null || b === null ? a === b : a.length === b.length && a.every((text, i) => text === b[i])

/** How a rotation is asked for. */
export interface RotationRequest {
  /** The secret that the token is to get. */
  secret: Omit<Secret, 'revision'>
  activate: 'on_first_use' | 'now'
  graceSeconds: number
  /** Who asks. A token may replace only what it has begun itself. */
  by: Actor
}

/**
 * While a rotation is pending, another one replaces the newer secret, which nobody may have got. In the grace it does
 * so as long as nobody has used it; the older secret retires when it was going to, or at once if the rotation is asked
 * for now and without a grace: then it may have leaked.
 * @param now RFC 3339 UTC
 */
export function rotate(
  state: TokenState,
  { by, secret, ...how }: RotationRequest,
  ifMatch: (revision: number) => boolean,
  now: string,
): Fact<'TokenRotationStarted'> {
  const token = living(state, 'rotated')
  const { rotation } = token
  const status = rotationStatusAt(token, now)
  if (status !== null && rotation) {
    const isOwn = rotation.startedBy.kind === by.kind && rotation.startedBy.id === by.id
    const mayReplace = by.kind === 'token' ? status === 'pending' && isOwn : !rotation.isUsed
    if (!mayReplace) throw underWay(status === 'grace' ? rotation.retiresAt : null, by.kind)
  }
  if (!ifMatch(token.revision)) throw staleRevision()
  assertRoom(token.revision + 1, by.kind)
  const older = status === null ? ownSecret(token) : token.secret
  const isDeadNow = how.activate === 'now' && how.graceSeconds === 0
  const retiresAt = status === 'grace' && !isDeadNow ? (rotation?.retiresAt ?? null) : null
  const beside = { ...older, retiresAt }
  return { type: 'TokenRotationStarted', data: { ...secret, ...how, beside } }
}

/** @param retiresAt of the older secret in its grace; null while the rotation is pending */
function underWay(retiresAt: string | null, by: Actor['kind']): Refusal {
  const what =
    retiresAt === null
      ? 'Somebody else has begun a rotation, and its secret was not used yet.'
      : `The older secret is accepted until ${retiresAt}.`
  const way =
    by === 'token'
      ? 'Whoever manages the token can end the rotation.'
      : 'Wait until then, or end the rotation.'
  return new Refusal('rotation_under_way', `${what} ${way}`)
}

/** @param now RFC 3339 UTC */
export function endRotation(
  state: TokenState,
  status: 'pending' | 'grace',
  ifMatch: (revision: number) => boolean,
  { now, by }: { now: string; by: Actor['kind'] },
): Fact<'TokenRotationEnded'> {
  const token = living(state, 'changed')
  const { rotation, secret } = token
  if (!rotation || rotationStatusAt(token, now) !== status)
    throw new Refusal('no_such_rotation', `No rotation of the token is ${inWords[status]}.`)
  if (!ifMatch(token.revision)) throw staleRevision()
  assertRoom(token.revision + 1, by)
  const [dead, remaining] = status === 'pending' ? [rotation.secret, secret] : [secret, rotation.secret]
  return { type: 'TokenRotationEnded', data: { status, hint: dead.hint, remaining } }
}

const inWords = { pending: 'pending', grace: 'in its grace' }

/**
 * The first use of the newer secret. Of several that see it, one writes it.
 * @param revision of the secret that was used
 */
export function activate(state: TokenState, revision: number): Fact<'TokenSecretActivated'> | null {
  if (state.status !== 'active') return null
  const { rotation } = state
  if (rotation?.secret.revision !== revision || rotation.isUsed) return null
  const graceSeconds = rotation.activatedAt === null ? rotation.graceSeconds : null
  return { type: 'TokenSecretActivated', data: { revision, hint: rotation.secret.hint, graceSeconds } }
}

/** The notice of an expiry that is due now; null if none is. */
export function notice(state: TokenState, now: string): Fact<'TokenExpiring'> | Fact<'TokenExpired'> | null {
  if (state.status !== 'active' || state.expiresAt === null) return null
  const { expiresAt, noticeAt } = state
  if (noticeAt === null || noticeAt > now) return null
  const days = lastDue(expiresAt, now)
  return days === 0
    ? { type: 'TokenExpired', data: { expiresAt } }
    : { type: 'TokenExpiring', data: { days, expiresAt } }
}

function living(state: TokenState, change: string): ExistingToken {
  if (state.status === 'none') throw new Refusal('not_found', 'No such token.')
  if (state.status === 'revoked') throw new Refusal('token_revoked', `A revoked token cannot be ${change}.`)
  return state
}
