import { type ActivityDocument, activityId, callerOf, OTHER } from '../../../projections/tokenActivity.ts'
import type { TokenDocument } from '../../../projections/tokens.ts'
import { bucketStart } from '../../../projections/tokenUsage.ts'
import { blocksOf, isInside } from '../../domain/address.ts'
import { Refusal } from '../../domain/errors.ts'
import { allowedIpsErrors } from '../../domain/rules.ts'
import { DAY_MS } from '../../domain/time.ts'
import { type Clock, iso } from '../ports/clock.ts'
import type { Condition } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { addAll, createTop, eachDocument } from '../readModel/pages.ts'

export interface RefusedCaller {
  ip: string
  requests: number
  /** The last use in the last hour in which it was seen: at most an hour later than its own last use. */
  lastAt: string
}

/** Who would be shut out if a token were bound to addresses. */
export interface CallerCheck {
  /** Most requests first. */
  refused: RefusedCaller[]
  /** Those that are not listed, if there are very many. */
  more: { callers: number; requests: number } | null
  /** How many requests would have been accepted. */
  accepted: number
  /** How many requests came without an address, or from one that was not kept by name. */
  unknown: number
}

export interface CallerCheckOptions {
  /** Gets the number of hours with a use that were read so far. */
  onProgress?: (hours: number) => void
  signal?: AbortSignal | undefined
}

export interface CallerCheckQueries {
  /**
   * Compares addresses with the callers of the last 30 days.
   * @throws Refusal `validation_failed` for what cannot be `allowedIps`
   */
  checkCallers(
    token: TokenDocument,
    allowedIps: readonly string[],
    options?: CallerCheckOptions,
  ): Promise<CallerCheck>
}

const DAYS = 30
/** How many callers are listed. There may be 72,000, since an hour keeps 100 by name. */
const LISTED = 1_000
/** How many hours are read at a time: few, since the document of one hour may have 100 KB. */
const PAGE = 25

export function createCallerCheckQuery(readModel: DocumentReader, clock: Clock): CallerCheckQueries {
  return {
    async checkCallers(token, allowedIps, { onProgress = () => {}, signal } = {}) {
      const errors = allowedIpsErrors(allowedIps)
      if (errors.length > 0) throw new Refusal('validation_failed', 'The addresses are not valid.', errors)
      const blocks = blocksOf(allowedIps)
      const refused = new Map<string, RefusedCaller>()
      const found = { accepted: 0, unknown: 0 }
      let read = 0
      const firstHour = bucketStart(iso(clock() - DAYS * DAY_MS), 'hour')
      const where: Condition[] = [
        { field: 'id', op: 'gte', value: activityId(token.id, firstHour) },
        { field: 'id', op: 'lt', value: activityId(token.id, '~') },
      ]
      const walk = { where, page: PAGE, signal }
      for await (const hour of eachDocument<ActivityDocument>(readModel, 'tokenActivity', walk)) {
        for (const [key, requests] of Object.entries(hour.addresses)) {
          const ip = key === OTHER ? null : callerOf(key)
          const known = ip === null ? undefined : refused.get(ip)
          if (known) {
            known.requests += requests
            known.lastAt = hour.lastAt
          } else if (ip === null) found.unknown += requests
          else if (isInside(blocks, ip)) found.accepted += requests
          else refused.set(ip, { ip, requests, lastAt: hour.lastAt })
        }
        onProgress(++read)
      }
      return { ...(await listed(refused, signal)), ...found }
    },
  }
}

async function listed(
  refused: ReadonlyMap<string, RefusedCaller>,
  signal: AbortSignal | undefined,
): Promise<Pick<CallerCheck, 'refused' | 'more'>> {
  const top = createTop<RefusedCaller>(LISTED, mostRequests)
  await addAll(top, refused.values(), signal)
  const first = top.first()
  const callers = top.total() - first.length
  if (callers === 0) return { refused: first, more: null }
  const sum = (rows: Iterable<RefusedCaller>): number => {
    let requests = 0
    for (const row of rows) requests += row.requests
    return requests
  }
  return { refused: first, more: { callers, requests: sum(refused.values()) - sum(first) } }
}

const mostRequests = (a: RefusedCaller, b: RefusedCaller): number =>
  b.requests - a.requests || (a.ip < b.ip ? -1 : 1)
