import type { TokenDocument } from '../../../projections/tokens.ts'
import { bucketStart } from '../../../projections/tokenUsage.ts'
import { DAY_MS } from '../../domain/time.ts'
import { statusAt, type TokenStatus } from '../../domain/token.ts'
import { eachBucket, type Effort, type Owner } from './buckets.ts'
import { type LeakedRow, leakedTokens } from './leakedTokens.ts'
import { addAll, createTop, eachDocument, findById, type Top } from '../readModel/pages.ts'
import { type Clock, iso } from '../ports/clock.ts'
import type { Condition } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import * as tokensThat from '../readModel/statuses.ts'
import { retiredUses } from './secretUses.ts'
import { byRequests } from './usage.ts'

/** What a report is asked for. `from` (inclusive) and `to` (exclusive) are the range of `top`. */
export interface ReportQuery {
  from: string
  to: string
  idleDays: number
  expiringDays: number
  /** The greatest number of rows in a list. */
  limit: number
}

export interface ReportRow {
  token: TokenDocument
  status: TokenStatus
  /** Requests in the range, for `retiredSecretUses` the refused ones; null in the lists that have none. */
  requests: number | null
}

export interface ReportList {
  /** How many tokens there are, whether shown or not. */
  total: number
  data: ReportRow[]
}

export interface Report {
  query: ReportQuery
  /** Null for a report of all accounts. */
  accountId: string | null
  /** The time that decides what is active, idle, expiring and so on. */
  at: string
  /** How many tokens have each status. The history of a `damaged` token cannot be trusted, so it is in no list. */
  tokens: Record<TokenStatus, number>
  /**
   * Tokens that were used in the range, most used first, including revoked ones. All other lists hold active tokens
   * only.
   */
  top: ReportList
  /** Tokens that were never used, oldest first. */
  neverUsed: ReportList
  /** Tokens that were used, but not in the last `idleDays`; longest idle first. */
  idle: ReportList
  /** Tokens that expire within the next `expiringDays`, soonest first. */
  expiring: ReportList
  /** Tokens that never expire, oldest first. */
  withoutExpiry: ReportList
  /** Tokens of which secrets that had retired were sent in the range, most often first, including revoked ones. */
  retiredSecretUses: ReportList
  /** Tokens whose secrets were found in public, at any time: those that were reported last first. */
  leaked: { total: number; data: LeakedRow[] }
}

export interface ReportOptions extends Effort {
  /** Gets the number of tokens read so far. */
  onProgress?: (tokens: number) => void
}

export interface ReportQueries {
  /**
   * For one account, it reads the active tokens and those that were used in the range, and only counts the others. For
   * all accounts (null), it reads every token once. Memory does not grow with the number of unused tokens.
   * @throws Refusal, as `eachBucket`
   */
  report(accountId: string | null, query: ReportQuery, options?: ReportOptions): Promise<Report>
}

type Counts = Report['tokens']
/** Requests in the range. */
type Used = readonly [token: string, requests: number]

interface Lists {
  /** Ids only, without damaged tokens: a token itself is read only if it is shown. */
  top: Top<Used>
  neverUsed: Top<TokenDocument>
  idle: Top<TokenDocument>
  expiring: Top<TokenDocument>
  withoutExpiry: Top<TokenDocument>
  retired: Top<Used>
}

/** Tokens whose usage is looked up at a time. */
const AT_ONCE = 100

export function createReportQuery(readModel: DocumentReader, clock: Clock): ReportQueries {
  async function addUses(owner: Owner, { query, at }: Asked, effort: Effort): Promise<Map<string, number>> {
    const sums = new Map<string, number>()
    const asked = { range: { ...query, granularity: 'day' as const }, now: at }
    for await (const { tokenId, requests } of eachBucket(readModel, owner, asked, effort)) {
      sums.set(tokenId, (sums.get(tokenId) ?? 0) + requests)
    }
    return sums
  }

  async function ofAccount(accountId: string, asked: Asked, lists: Lists, options: ReportOptions) {
    const { signal, onProgress = () => {} } = options
    const { at } = asked
    /** The status that each damaged token would have without its damage. */
    const damaged = new Map<string, TokenStatus>()
    const those = { where: tokensThat.damaged(accountId), order: { field: 'stopped' }, signal }
    for await (const token of eachDocument<TokenDocument>(readModel, 'tokens', those)) {
      const { stopped: _, ...sound } = token
      if (isDamaged(token, at)) damaged.set(token.id, statusAt(sound, at))
    }
    const soundOf = async (status: TokenStatus, of: readonly (readonly Condition[])[]): Promise<number> =>
      (await tokensThat.countEach(readModel, of, signal)) -
      [...damaged.values()].filter((each) => each === status).length

    let active = 0
    const live = { where: tokensThat.active(accountId, at), order: { field: 'expiresAt' }, signal }
    for await (const token of eachDocument<TokenDocument>(readModel, 'tokens', live)) {
      if (damaged.has(token.id)) continue
      place(lists, token, asked)
      onProgress(++active)
    }
    const used = await addUses({ accountId }, asked, options)
    for (const id of damaged.keys()) used.delete(id)
    await addAll(lists.top, used, signal)
    return {
      active,
      expired: await soundOf('expired', tokensThat.expired(accountId, at)),
      revoked: await soundOf('revoked', [tokensThat.inPhase(accountId, 'revoked')]),
      damaged: damaged.size,
    }
  }

  async function ofAll(asked: Asked, lists: Lists, options: ReportOptions): Promise<Counts> {
    const { signal, onProgress = () => {} } = options
    const counts = { active: 0, expired: 0, revoked: 0, damaged: 0 }
    // An hour counts as a whole, so a use before `from` may belong to the range.
    const firstHour = bucketStart(asked.query.from, 'hour')
    let read = 0
    let some: string[] = []
    const countUses = async (): Promise<void> => {
      const found = await Promise.all(some.map((tokenId) => addUses({ tokenId }, asked, { signal })))
      for (const used of found) await addAll(lists.top, used, signal)
      some = []
      onProgress(read)
    }
    for await (const token of eachDocument<TokenDocument>(readModel, 'tokens', { where: [], signal })) {
      read++
      const status = isDamaged(token, asked.at) ? 'damaged' : statusAt(token, asked.at)
      counts[status]++
      if (status === 'active') place(lists, token, asked)
      if (status !== 'damaged' && (token.lastAccessed ?? '') >= firstHour) some.push(token.id)
      if (some.length === AT_ONCE) await countUses()
    }
    await countUses()
    return counts
  }

  return {
    async report(accountId, query, options = {}) {
      const asked = askedAt(query, iso(clock()))
      const lists = createLists(query.limit)
      const tokens = await (accountId === null
        ? ofAll(asked, lists, options)
        : ofAccount(accountId, asked, lists, options))
      const { signal } = options
      const owner = accountId === null ? null : { accountId }
      const retired = await retiredUses(readModel, owner, query, signal)
      await addAll(
        lists.retired,
        [...retired].map(([id, { requests }]) => [id, requests] as const),
        signal,
      )
      const ids = [lists.top, lists.retired].flatMap((list) => list.first().map(([id]) => id))
      const found = await findById<TokenDocument>(readModel, 'tokens', [...new Set(ids)], signal)
      const known = new Map(found.map((token) => [token.id, token]))
      const leaked = await leakedTokens(readModel, { accountId, limit: query.limit, now: asked.at }, signal)
      return { query, accountId, tokens, ...shown(lists, asked.at, known), leaked }
    },
  }
}

/** A token also counts as damaged if only uses of it are known: its creation is missing, or was refused. */
const isDamaged = (token: TokenDocument, at: string): boolean =>
  (token.accountId as string | undefined) === undefined || statusAt(token, at) === 'damaged'

interface Asked {
  query: ReportQuery
  at: string
  idleBefore: string
  expiringBefore: string
}

const askedAt = (query: ReportQuery, at: string): Asked => ({
  query,
  at,
  idleBefore: daysFrom(at, -query.idleDays),
  expiringBefore: daysFrom(at, query.expiringDays),
})

const createLists = (limit: number): Lists => ({
  top: createTop(limit, byRequests),
  neverUsed: createTop(limit, firstBy('createdAt')),
  idle: createTop(limit, firstBy('lastAccessed')),
  expiring: createTop(limit, firstBy('expiresAt')),
  withoutExpiry: createTop(limit, firstBy('createdAt')),
  retired: createTop(limit, byRequests),
})

/** Puts an active token into the lists that do not depend on how often it was used. */
function place(lists: Lists, token: TokenDocument, { idleBefore, expiringBefore }: Asked): void {
  const { lastAccessed, expiresAt } = token
  if (lastAccessed === undefined) lists.neverUsed.add(token)
  else if (lastAccessed < idleBefore) lists.idle.add(token)
  if (expiresAt === null) lists.withoutExpiry.add(token)
  else if (expiresAt < expiringBefore) lists.expiring.add(token)
}

function shown(
  { top, retired, ...lists }: Lists,
  at: string,
  known: ReadonlyMap<string, TokenDocument>,
): Omit<Report, 'query' | 'accountId' | 'tokens' | 'leaked'> {
  const listOf = (list: Top<TokenDocument>): ReportList => ({
    total: list.total(),
    data: list.first().map((token) => ({ token, status: statusAt(token, at), requests: null })),
  })
  const usedOf = (list: Top<Used>): ReportList => ({
    total: list.total(),
    data: list.first().flatMap(([id, requests]): ReportRow[] => {
      const token = known.get(id)
      return token ? [{ token, status: statusAt(token, at), requests }] : []
    }),
  })
  return {
    at,
    top: usedOf(top),
    neverUsed: listOf(lists.neverUsed),
    idle: listOf(lists.idle),
    expiring: listOf(lists.expiring),
    withoutExpiry: listOf(lists.withoutExpiry),
    retiredSecretUses: usedOf(retired),
  }
}

const firstBy =
  (field: 'createdAt' | 'lastAccessed' | 'expiresAt') =>
  (a: TokenDocument, b: TokenDocument): number =>
    compare(a[field] ?? '', b[field] ?? '') || compare(a.id, b.id)

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const daysFrom = (at: string, days: number): string => iso(Date.parse(at) + days * DAY_MS)
