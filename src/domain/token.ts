import type { LifecycleEvent } from './events.ts'

/** What the events of one token's stream add up to. */
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
  /** Revision of the newest event folded in. */
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

/** `damaged`: what happened to it cannot be trusted or applied, so that it authenticates nobody. */
export type TokenStatus = 'active' | 'expired' | 'revoked' | 'damaged'

/**
 * The one place that derives a status from the clock. A token is expired from its `expiresAt` on. A revocation is final,
 * whatever is damaged beside it.
 * @param token `stopped` is why it is damaged
 */
export function statusAt(
  token: { revokedAt: string | null; expiresAt: string | null; stopped?: string },
  now: string,
): TokenStatus {
  if (token.revokedAt !== null) return 'revoked'
  if (token.stopped !== undefined) return 'damaged'
  return token.expiresAt !== null && token.expiresAt <= now ? 'expired' : 'active'
}
