import type { Actor, LifecycleEvent, RecordedEvent } from './events.ts'
import { firstNotice, noticeAfter } from './expiry.ts'
import { secondsAfter } from './time.ts'

/** What makes a token valid, as far as it is stored. */
export interface Secret {
  /** The revision of the event that brought it. It names the secret among those of its token. */
  revision: number
  hash: string
  hashKeyId: string
  hint: string
}

/**
 * Two secrets at a time: the newer one, and the token's own, older one. It is pending until the newer one is used for
 * the first time or was activated at once; then the older one is accepted until `retiresAt`. No event says that this
 * time has passed.
 */
export interface Rotation {
  /** The newer one. */
  secret: Secret
  startedAt: string
  startedBy: Actor
  graceSeconds: number
  /** Null while it is pending. */
  activatedAt: string | null
  /** Null while it is pending. */
  retiresAt: string | null
  /** Was the newer secret used? */
  isUsed: boolean
}

/** What is known of a token from the events of its stream. */
interface Facts {
  tokenId: string
  accountId: string
  name: string
  description: string | null
  metadata: Readonly<Record<string, string>>
  /** Null: it may be used from anywhere. */
  allowedIps: readonly string[] | null
  rotatable: boolean
  /** The only one, or the older one of two. */
  secret: Secret
  rotation: Rotation | null
  scopes: readonly string[]
  createdBy: Actor
  createdAt: string
  updatedAt: string
  expiresAt: string | null
  /** When somebody is told next that it expires, or has expired; null if never. */
  noticeAt: string | null
  /** The revision of the newest event that is included. */
  revision: number
}

export type TokenState =
  | { status: 'none' }
  | ({ status: 'active'; revokedAt: null } & Facts)
  | ({ status: 'revoked'; revokedAt: string } & Facts)

export type ExistingToken = Exclude<TokenState, { status: 'none' }>

export const initialState: TokenState = { status: 'none' }

export function evolve(state: TokenState, event: LifecycleEvent): TokenState {
  const { at, actor } = event.metadata
  const { revision } = event
  const born = { status: 'active', rotation: null, createdBy: actor, revokedAt: null, revision } as const
  switch (event.type) {
    case 'TokenCreated': {
      const { hash, hashKeyId, hint, ...data } = event.data
      const secret = { revision, hash, hashKeyId, hint }
      const noticeAt = firstNotice(data.expiresAt, at)
      return { ...born, ...data, noticeAt, secret, createdAt: at, updatedAt: at }
    }
    case 'TokenImported': {
      const { oldId: _, lastAccessed: __, hash, hashKeyId, hint, ...data } = event.data
      const noticeAt = firstNotice(data.expiresAt, at)
      return { ...born, ...data, noticeAt, rotatable: false, secret: { revision, hash, hashKeyId, hint } }
    }
    case 'TokenUpdated':
      return state.status === 'none'
        ? state
        : { ...state, ...event.data, ...noticeOf(event.data, at), updatedAt: at, revision }
    case 'TokenRevoked':
      return state.status === 'none'
        ? state
        : {
            ...state,
            status: 'revoked',
            updatedAt: actor.kind === 'system' ? state.updatedAt : at,
            revokedAt: state.revokedAt ?? at,
            noticeAt: null,
            revision,
          }
    case 'TokenLeaked':
      return state.status === 'none' ? state : { ...state, revision }
    case 'TokenRotationStarted':
      return state.status === 'none' ? state : { ...state, ...started(event), updatedAt: at, revision }
    case 'TokenSecretActivated':
      return state.status === 'none' ? state : { ...state, ...activated(state.rotation, event), revision }
    case 'TokenRotationEnded':
      return state.status === 'none'
        ? state
        : { ...state, secret: event.data.remaining, rotation: null, updatedAt: at, revision }
    case 'TokenExpiring': {
      const noticeAt = noticeAfter(event.data.expiresAt, event.data.days)
      return state.status === 'none' ? state : { ...state, noticeAt, revision }
    }
    case 'TokenExpired':
      return state.status === 'none' ? state : { ...state, noticeAt: null, revision }
  }
}

/** A new expiry is told anew. */
export const noticeOf = (
  { expiresAt }: { expiresAt?: string | null },
  at: string,
): { noticeAt?: string | null } => (expiresAt === undefined ? {} : { noticeAt: firstNotice(expiresAt, at) })

/** The secrets of a token from the start of a rotation on. Without any grace there is only one again, at once. */
export function started({
  data,
  metadata: { at, actor },
  revision,
}: RecordedEvent<'TokenRotationStarted'>): Pick<ExistingToken, 'secret' | 'rotation'> {
  const { activate, graceSeconds, beside } = data
  const { hash, hashKeyId, hint } = data
  const secret: Secret = { revision, hash, hashKeyId, hint }
  const { retiresAt, ...older } = beside
  const isActive = activate === 'now' || retiresAt !== null
  if (isActive && retiresAt === null && graceSeconds === 0) return { secret, rotation: null }
  return {
    secret: older,
    rotation: {
      secret,
      startedAt: at,
      startedBy: actor,
      graceSeconds,
      activatedAt: isActive ? at : null,
      retiresAt: retiresAt ?? (isActive ? secondsAfter(at, graceSeconds) : null),
      isUsed: false,
    },
  }
}

function activated(
  rotation: Rotation | null,
  { data: { graceSeconds }, metadata: { at } }: RecordedEvent<'TokenSecretActivated'>,
): { rotation: Rotation | null } {
  if (!rotation) return { rotation }
  const grace = graceSeconds === null ? {} : { activatedAt: at, retiresAt: secondsAfter(at, graceSeconds) }
  return { rotation: { ...rotation, ...grace, isUsed: true } }
}

/** What is said of a rotation that has not ended, neither by an event nor by the time. */
export type RotationStatus = 'pending' | 'grace'

type Rotating = Pick<ExistingToken, 'secret' | 'rotation' | 'revokedAt'>

/** @returns null if only one secret is accepted */
export function rotationStatusAt({ rotation, revokedAt }: Rotating, now: string): RotationStatus | null {
  if (!rotation || revokedAt !== null) return null
  if (rotation.retiresAt === null) return 'pending'
  return rotation.retiresAt > now ? 'grace' : null
}

/** The secret that a token is known by: the newer one, once it is more than pending. */
export const ownSecret = ({ secret, rotation }: Pick<Rotating, 'secret' | 'rotation'>): Secret =>
  rotation && rotation.activatedAt !== null ? rotation.secret : secret

/** The history of a `damaged` token cannot be trusted or applied, so the token authenticates nobody. */
export type TokenStatus = 'active' | 'expired' | 'revoked' | 'damaged'

/**
 * The only place that derives a status from the time. A token is expired from its `expiresAt` on. A revocation is
 * final, even if other events are damaged.
 * @param token `stopped` says why it is damaged
 */
export function statusAt(
  token: { revokedAt: string | null; expiresAt: string | null; stopped?: string },
  now: string,
): TokenStatus {
  if (token.revokedAt !== null) return 'revoked'
  if (token.stopped !== undefined) return 'damaged'
  return token.expiresAt !== null && token.expiresAt <= now ? 'expired' : 'active'
}
