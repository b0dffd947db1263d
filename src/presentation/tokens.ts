import type { Principal } from '../domain/principal.ts'
import type { ResultPage, TokenPage } from '../application/tokens/query.ts'
import type { TokenCounts } from '../application/tokens/tokenCounts.ts'
import type { RetiredSum } from '../application/analytics/secretUses.ts'
import type { Tally, Usage, UsageOfToken } from '../application/analytics/usage.ts'
import type { HistoryDocument } from '../../projections/tokenHistory.ts'
import type { TokenDocument } from '../../projections/tokens.ts'
import {
  type ExistingToken,
  ownSecret,
  type RotationStatus,
  rotationStatusAt,
  statusAt,
  type TokenStatus,
} from '../domain/token.ts'
import { snakeCased } from './names.ts'

/** The only shapes of tokens that leave. Every member is named here, so that no other can leave by accident. */

/** A token, folded from its events or read from the read model. */
export type TokenLike = ExistingToken & { lastAccessed?: string | null; stopped?: string }

/** The other one of two secrets that are accepted. */
export interface ShownRotation {
  /** `pending`: the newer secret was not used yet. `grace`: the older one is accepted until `retiresAt`. */
  status: RotationStatus
  /** Of the secret that is not the one of the token's own `hint`: the newer one while pending, the older one in the grace. */
  hint: string
  startedAt: string
  startedBy: { kind: string; id: string }
  /** Null while pending. */
  activatedAt: string | null
  /** Null while pending. */
  retiresAt: string | null
}

/** A token as everybody sees it. Times are RFC 3339 in UTC with milliseconds. */
export interface Token {
  id: string
  accountId: string
  name: string
  description: string | null
  metadata: Readonly<Record<string, string>>
  /** Prefix and last four characters of the body: `tkl_…9fQz`. */
  hint: string
  scopes: readonly string[]
  /** Addresses and CIDR blocks from which it is accepted; null: any. */
  allowedIps: readonly string[] | null
  /** May it begin a rotation of itself? */
  rotatable: boolean
  /** Null: only one secret is accepted. */
  rotation: ShownRotation | null
  status: TokenStatus
  createdBy: { kind: string; id: string }
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
 * Nobody knows which scopes and which expiry a damaged token has. It may do nothing, and so nothing is shown of what it
 * may.
 */
export function shownToken(id: string, token: TokenLike, now: string): Token {
  const status = statusAt(token, now)
  const isKnown = status !== 'damaged'
  return {
    id,
    accountId: token.accountId,
    name: token.name,
    description: token.description,
    metadata: token.metadata,
    hint: ownSecret(token).hint,
    scopes: isKnown ? token.scopes : [],
    allowedIps: isKnown ? token.allowedIps : null,
    rotatable: isKnown && token.rotatable,
    rotation: isKnown ? shownRotation(token, now) : null,
    status,
    createdBy: actorOf(token.createdBy),
    createdAt: token.createdAt,
    updatedAt: token.updatedAt,
    lastAccessed: token.lastAccessed ?? null,
    expiresAt: isKnown ? token.expiresAt : null,
    revokedAt: token.revokedAt,
    revision: token.revision,
  }
}

function shownRotation(token: TokenLike, now: string): ShownRotation | null {
  const { secret, rotation } = token
  const status = rotationStatusAt(token, now)
  if (!rotation || status === null) return null
  const { startedAt, startedBy, activatedAt, retiresAt } = rotation
  const { hint } = rotation.activatedAt === null ? rotation.secret : secret
  return { status, hint, startedAt, startedBy: actorOf(startedBy), activatedAt, retiresAt }
}

const actorOf = ({ kind, id }: { kind: string; id: string }) => ({ kind, id })

export function presentToken(id: string, token: TokenLike, now: string) {
  const shown = shownToken(id, token, now)
  return { ...snakeCased(shown), rotation: shown.rotation && snakeCased(shown.rotation) }
}

/** A token in a list. */
export interface ListedToken extends Token {
  /** Only if it was asked for: the requests on each day (UTC), oldest first; today is the last. */
  daily?: readonly number[]
}

/** @param asSeen a token as the presenters know it */
export const shownTokenPage = (
  { data, nextCursor, counts, daily }: TokenPage,
  asSeen: (token: TokenDocument) => TokenLike,
  now: string,
): ResultPage<ListedToken> & { counts?: TokenCounts } => ({
  data: data.map((token) => ({ ...shownToken(token.id, asSeen(token), now), ...dailyOf(daily, token.id) })),
  nextCursor,
  ...(counts ? { counts: countsOf(counts) } : {}),
})

export const presentTokenPage = (
  { data, nextCursor, counts, daily }: TokenPage,
  asSeen: (token: TokenDocument) => TokenLike,
  now: string,
) => ({
  data: data.map((token) => ({ ...presentToken(token.id, asSeen(token), now), ...dailyOf(daily, token.id) })),
  next_cursor: nextCursor,
  ...(counts ? { counts: snakeCased(countsOf(counts)) } : {}),
})

const dailyOf = (daily: TokenPage['daily'], id: string) => (daily ? { daily: daily.get(id) ?? [] } : {})

const countsOf = ({ live, expiring, neverExpires, unused }: TokenCounts): TokenCounts => ({
  live,
  expiring,
  neverExpires,
  unused,
})

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

export interface TokenHistory extends ResultPage<TokenEvent> {
  /** Refused requests with secrets that had retired. Only where there are any. */
  retiredSecretUses?: RetiredSum
}

export const shownEvent = (event: HistoryDocument): TokenEvent => ({
  id: event.id,
  type: event.type,
  revision: event.revision,
  at: event.at,
  actor: actorOf(event.actor),
  requestId: event.requestId,
  data: event.data,
})

export const presentEvent = (event: HistoryDocument) => ({
  ...snakeCased(shownEvent(event)),
  data: snakeCased(
    Object.fromEntries(Object.entries(event.data).map(([name, value]) => [name, named(name, value)])),
  ),
})

/** @param retired requests that are no events, since they change nothing. Null: there were none */
export const shownHistory = (
  { data, nextCursor }: ResultPage<HistoryDocument>,
  retired: RetiredSum | null,
): TokenHistory => ({
  data: data.map(shownEvent),
  nextCursor,
  ...(retired && { retiredSecretUses: shownRetired(retired) }),
})

export const presentHistory = (page: ResultPage<HistoryDocument>, retired: RetiredSum | null) => ({
  ...presentPage(page, presentEvent),
  ...(retired && { retired_secret_uses: snakeCased(shownRetired(retired)) }),
})

/** Members of members are ours as well where they name a secret; those of metadata are not. */
const named = (name: string, value: unknown): unknown =>
  name === 'beside' || name === 'remaining' ? snakeCased(value as object) : value

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

export const shownUsageOfToken = (usage: UsageOfToken) => ({
  ...shownUsage(usage),
  secrets:
    usage.secrets?.map(({ hint, requests, lastAccessed }) => ({ hint, requests, lastAccessed })) ?? null,
  ...(usage.retiredSecretUses && { retiredSecretUses: shownRetired(usage.retiredSecretUses) }),
})

const shownRetired = ({ requests, lastAt }: RetiredSum) => ({ requests, lastAt })

export function presentUsageOfToken(usage: UsageOfToken) {
  const { secrets, retiredSecretUses: retired, ...shown } = shownUsageOfToken(usage)
  return {
    ...snakeCased(shown),
    secrets: secrets?.map(snakeCased) ?? null,
    ...(retired && { retired_secret_uses: snakeCased(retired) }),
  }
}

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
