import type { TokenDocument } from '../../projections/tokens.ts'
import { bucketStart, type UsageDocument } from '../../projections/tokenUsage.ts'
import { statusAt, type TokenStatus } from '../domain/token.ts'
import { eachDocument } from './pages.ts'
import { type Clock, type Condition, iso, type ReadModel } from './ports.ts'
import { inSegment, segments } from './usage.ts'

/** What is asked of a report. `from` is inclusive, `to` exclusive; they are the range of `top`. */
export interface ReportQuery {
  from: string
  to: string
  idleDays: number
  expiringDays: number
  /** Rows of a list at the most. */
  limit: number
}

export interface ReportRow {
  token: TokenDocument
  status: TokenStatus
  /** In the range; only in `top`. */
  requests: number | null
}

export interface ReportList {
  /** How many there are, shown or not. */
  total: number
  data: ReportRow[]
}

export interface Report {
  query: ReportQuery
  /** Null: of all accounts. */
  accountId: string | null
  /** The moment that `active`, idle and so on are judged by. */
  at: string
  /** `damaged`: its history cannot be trusted; it authenticates nobody and is in no list. */
  tokens: Record<TokenStatus, number>
  /** Used in the range, most used first, revoked ones too. The other lists hold active tokens only. */
  top: ReportList
  /** Oldest first. */
  neverUsed: ReportList
  /** Used, but not in the last days; longest idle first. */
  idle: ReportList
  /** Within the next days, soonest first. */
  expiring: ReportList
  /** Oldest first. */
  withoutExpiry: ReportList
}

export interface ReportQueries {
  /**
   * Reads every token of the account, or of all accounts for null, once; memory does not grow with their number.
   * @param onProgress told how many were read so far
   */
  report(accountId: string | null, query: ReportQuery, onProgress?: (tokens: number) => void): Promise<Report>
}

/** Tokens whose usage is looked up at a time. */
const AT_ONCE = 100
const DAY_MS = 86_400_000

export function createReportQuery(readModel: ReadModel, clock: Clock): ReportQueries {
  async function requestsOf(tokens: readonly TokenDocument[], range: ReportQuery, now: string) {
    const owner: Condition = { field: 'tokenId', op: 'in', value: tokens.map(({ id }) => id) }
    const requests = new Map<string, number>()
    if (tokens.length === 0) return requests
    for (const segment of segments({ ...range, granularity: 'day' }, now)) {
      const found = eachDocument<UsageDocument>(readModel, 'tokenUsage', inSegment(owner, segment))
      for await (const { tokenId, requests: n } of found) {
        requests.set(tokenId, (requests.get(tokenId) ?? 0) + n)
      }
    }
    return requests
  }

  return {
    async report(accountId, query, onProgress = () => {}) {
      const at = iso(clock())
      const report = empty(accountId, query, at)
      const bounds = {
        idleBefore: daysFrom(at, -query.idleDays),
        expiringBefore: daysFrom(at, query.expiringDays),
      }
      // An hour counts whole, so a use before `from` may belong to the range.
      const firstHour = bucketStart(query.from, 'hour')
      const ofAccount: Condition[] =
        accountId === null ? [] : [{ field: 'accountId', op: 'eq', value: accountId }]
      let read = 0
      let some: TokenDocument[] = []
      const countUses = async (): Promise<void> => {
        const requests = await requestsOf(some, query, at)
        for (const token of some) {
          const row = { token, status: statusAt(token, at), requests: requests.get(token.id) ?? 0 }
          if (row.requests > 0) add(report.top, query.limit, row, (a, b) => requestsIn(b) - requestsIn(a))
        }
        some = []
        onProgress(read)
      }
      for await (const token of eachDocument<TokenDocument>(readModel, 'tokens', ofAccount)) {
        read++
        judge(report, token, bounds)
        const { lastAccessed } = token
        const isUsed = lastAccessed !== undefined && lastAccessed >= firstHour
        if (isUsed && !isDamaged(token, at)) some.push(token)
        if (some.length === AT_ONCE) await countUses()
      }
      await countUses()
      return report
    },
  }
}

function empty(accountId: string | null, query: ReportQuery, at: string): Report {
  const list = (): ReportList => ({ total: 0, data: [] })
  return {
    query,
    accountId,
    at,
    tokens: { active: 0, expired: 0, revoked: 0, damaged: 0 },
    top: list(),
    neverUsed: list(),
    idle: list(),
    expiring: list(),
    withoutExpiry: list(),
  }
}

/** Puts a token into the lists that do not depend on how often it was used. */
function judge(
  report: Report,
  token: TokenDocument,
  { idleBefore, expiringBefore }: { idleBefore: string; expiringBefore: string },
): void {
  const { at, query } = report
  if (isDamaged(token, at)) {
    report.tokens.damaged++
    return
  }
  const status = statusAt(token, at)
  report.tokens[status]++
  if (status !== 'active') return
  const row: ReportRow = { token, status, requests: null }
  const put = (list: ReportList, valueOf: (token: TokenDocument) => string): void =>
    add(list, query.limit, row, (a, b) => compare(valueOf(a.token), valueOf(b.token)))
  const { lastAccessed, expiresAt } = token
  if (lastAccessed === undefined) put(report.neverUsed, ({ createdAt }) => createdAt)
  else if (lastAccessed < idleBefore) put(report.idle, (one) => one.lastAccessed ?? '')
  if (expiresAt === null) put(report.withoutExpiry, ({ createdAt }) => createdAt)
  else if (expiresAt < expiringBefore) put(report.expiring, (one) => one.expiresAt ?? '')
}

/** Also one of which only uses are known: its creation is missing, or was refused. */
const isDamaged = (token: TokenDocument, at: string): boolean =>
  (token.accountId as string | undefined) === undefined || statusAt(token, at) === 'damaged'

/** Keeps the first `limit` rows in order; equals as they come, which is by id. */
function add(
  list: ReportList,
  limit: number,
  row: ReportRow,
  order: (a: ReportRow, b: ReportRow) => number,
): void {
  list.total++
  const last = list.data.at(-1)
  if (last && list.data.length >= limit && order(last, row) <= 0) return
  const at = list.data.findIndex((other) => order(row, other) < 0)
  list.data.splice(at < 0 ? list.data.length : at, 0, row)
  list.data.length = Math.min(list.data.length, limit)
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const requestsIn = ({ requests }: ReportRow): number => requests ?? 0
const daysFrom = (at: string, days: number): string => iso(Date.parse(at) + days * DAY_MS)
