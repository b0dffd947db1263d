import type { LifecycleEvent } from './events.ts'

/** What is known of a token from the events of its stream. */
interface Facts {
  tokenId: string
  accountId: string
  name: string
  hash: string
  hashKeyId: string
  hint: string
  scopes: readonly string[]
  createdAt: string
  updatedAt: string
  expiresAt: string | null
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
  const { at } = event.metadata
  const { revision } = event
  switch (event.type) {
    case 'TokenCreated':
      return {
        status: 'active',
        ...event.data,
        createdAt: at,
        updatedAt: at,
        revokedAt: null,
        revision,
      }
    case 'TokenImported': {
      const { oldId: _, lastAccessed: __, ...data } = event.data
      return { status: 'active', ...data, revokedAt: null, revision }
    }
    case 'TokenUpdated':
      return state.status === 'none' ? state : { ...state, ...event.data, updatedAt: at, revision }
    case 'TokenRevoked':
      return state.status === 'none'
        ? state
        : { ...state, status: 'revoked', updatedAt: at, revokedAt: state.revokedAt ?? at, revision }
  }
}

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
