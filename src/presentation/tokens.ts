import type { Principal } from '../domain/principal.ts'
import type { Page } from '../application/tokens/query.ts'
import type { Tally, Usage } from '../application/analytics/usage.ts'
import type { HistoryDocument } from '../../projections/tokenHistory.ts'
import { statusAt } from '../domain/token.ts'

/** The only shapes that leave: every member is named here, so that no other can slip out. */

/** A token from the fold of its events or from the read model: both have these. */
export interface TokenLike {
  accountId: string
  name: string
  hint: string
  scopes: readonly string[]
  createdAt: string
  updatedAt: string
  lastAccessed?: string | null
  expiresAt: string | null
  revokedAt: string | null
  revision: number
  stopped?: string
}

/** Of a damaged token nobody knows which scopes and which expiry it has: it may do nothing, and that is what is shown. */
export function presentToken(id: string, token: TokenLike, now: string) {
  const status = statusAt(token, now)
  const isKnown = status !== 'damaged'
  return {
    id,
    account_id: token.accountId,
    name: token.name,
    hint: token.hint,
    scopes: isKnown ? token.scopes : [],
    status,
    created_at: token.createdAt,
    updated_at: token.updatedAt,
    last_accessed: token.lastAccessed ?? null,
    expires_at: isKnown ? token.expiresAt : null,
    revoked_at: token.revokedAt,
    revision: token.revision,
  }
}

/** A token of the past. When it was last used then is not in the events of its life, so nothing is said of it. */
export function presentTokenAt(id: string, token: TokenLike, at: string) {
  const { last_accessed: _, ...shown } = presentToken(id, token, at)
  return { ...shown, at }
}

export const presentPage = <T, P>(page: Page<T>, present: (item: T) => P) => ({
  data: page.data.map(present),
  next_cursor: page.nextCursor,
})

export const presentEvent = (event: HistoryDocument) => ({
  id: event.id,
  type: event.type,
  revision: event.revision,
  at: event.at,
  actor: { kind: event.actor.kind, id: event.actor.id },
  request_id: event.requestId,
  data: Object.fromEntries(Object.entries(event.data).map(([name, value]) => [snakeCase(name), value])),
})

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

export const presentUsage = (usage: Usage) => ({
  from: usage.from,
  to: usage.to,
  granularity: usage.granularity,
  ...(usage.filter
    ? { filter: { method: usage.filter.method, route: usage.filter.route, other: usage.filter.other } }
    : {}),
  total: presentTally(usage.total),
  last_accessed: usage.lastAccessed,
  buckets: usage.buckets.map(({ at, ...tally }) => ({ at, ...presentTally(tally) })),
  routes: usage.routes.map(({ method, route, requests }) => ({ method, route, requests })),
})

export const presentUsageTokens = (usage: Usage) => ({
  tokens: usage.tokens.map(({ tokenId, name, requests, lastAccessed }) => ({
    token_id: tokenId,
    name,
    requests,
    last_accessed: lastAccessed,
  })),
  ...(usage.moreTokens ? { more_tokens: true } : {}),
})

const presentTally = ({ requests, outcomes }: Tally) => ({ requests, outcomes })

export const presentPrincipal = ({ kind, accountId, tokenId, scopes }: Principal) => ({
  kind,
  account_id: accountId,
  token_id: tokenId ?? null,
  scopes,
})
