import type { Principal } from '../domain/principal.ts'
import type { ResultPage } from '../application/tokens/query.ts'
import type { Tally, Usage } from '../application/analytics/usage.ts'
import type { HistoryDocument } from '../../projections/tokenHistory.ts'
import { statusAt, type TokenStatus } from '../domain/token.ts'
import { snakeCased } from './names.ts'

/** The only shapes of tokens that leave. Every member is named here, so that no other can leave by accident. */

/** A token, folded from its events or read from the read model: both have these members. */
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

/** A token as everybody sees it. Times are RFC 3339 in UTC with milliseconds. */
export interface Token {
  id: string
  accountId: string
  name: string
  /** Prefix and last four characters of the body: `tkl_…9fQz`. */
  hint: string
  scopes: readonly string[]
  status: TokenStatus
  createdAt: string
  updatedAt: string
  lastAccessed: string | null
  /** Null: never. */
  expiresAt: string | null
  revokedAt: string | null
  /** The revision of its event stream, counted from 0. */
  revision: number
}

/**
 * Nobody knows which scopes and which expiry a damaged token has. It may do nothing, and so nothing is shown of them.
 */
export function shownToken(id: string, token: TokenLike, now: string): Token {
  const status = statusAt(token, now)
  const isKnown = status !== 'damaged'
  return {
    id,
    accountId: token.accountId,
    name: token.name,
    hint: token.hint,
    scopes: isKnown ? token.scopes : [],
    status,
    createdAt: token.createdAt,
    updatedAt: token.updatedAt,
    lastAccessed: token.lastAccessed ?? null,
    expiresAt: isKnown ? token.expiresAt : null,
    revokedAt: token.revokedAt,
    revision: token.revision,
  }
}

export const presentToken = (id: string, token: TokenLike, now: string) =>
  snakeCased(shownToken(id, token, now))

/** A token as it was. The events of its life do not say when it had last been used, so neither does this. */
export function presentTokenAt(id: string, token: TokenLike, at: string) {
  const { last_accessed: _, ...shown } = presentToken(id, token, at)
  return { ...shown, at }
}

export const presentPage = <T, P>(page: ResultPage<T>, present: (item: T) => P) => ({
  data: page.data.map(present),
  next_cursor: page.nextCursor,
})

/** What happened to a token. */
export interface TokenEvent {
  id: string
  type: string
  revision: number
  /** RFC 3339. */
  at: string
  actor: { kind: string; id: string }
  requestId: string
  data: Record<string, unknown>
}

export const shownEvent = (event: HistoryDocument): TokenEvent => ({
  id: event.id,
  type: event.type,
  revision: event.revision,
  at: event.at,
  actor: { kind: event.actor.kind, id: event.actor.id },
  requestId: event.requestId,
  data: event.data,
})

export const presentEvent = (event: HistoryDocument) => ({
  ...snakeCased(shownEvent(event)),
  data: snakeCased(event.data),
})

export const shownUsage = (usage: Usage) => ({
  from: usage.from,
  to: usage.to,
  granularity: usage.granularity,
  ...(usage.filter
    ? { filter: { method: usage.filter.method, route: usage.filter.route, other: usage.filter.other } }
    : {}),
  total: presentTally(usage.total),
  lastAccessed: usage.lastAccessed,
  buckets: usage.buckets.map(({ at, ...tally }) => ({ at, ...presentTally(tally) })),
  routes: usage.routes.map(({ method, route, requests }) => ({ method, route, requests })),
})

export const presentUsage = (usage: Usage) => snakeCased(shownUsage(usage))

export const shownUsageTokens = (usage: Usage) => ({
  tokens: usage.tokens.map(({ tokenId, name, requests, lastAccessed }) => ({
    tokenId,
    name,
    requests,
    lastAccessed,
  })),
  ...(usage.moreTokens ? { moreTokens: true } : {}),
})

export function presentUsageTokens(usage: Usage) {
  const { tokens, ...more } = shownUsageTokens(usage)
  return { tokens: tokens.map(snakeCased), ...snakeCased(more) }
}

const presentTally = ({ requests, outcomes }: Tally) => ({ requests, outcomes })

export const presentPrincipal = ({ kind, accountId, tokenId, scopes }: Principal) => ({
  kind,
  account_id: accountId,
  token_id: tokenId ?? null,
  scopes,
})
