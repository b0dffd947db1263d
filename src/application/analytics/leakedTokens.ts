import type { LeakDocument } from '../../../projections/leaks.ts'
import type { TokenDocument } from '../../../projections/tokens.ts'
import { statusAt, type TokenStatus } from '../../domain/token.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { addAll, createTop, eachDocument, findById } from '../readModel/pages.ts'
import { eachBucket } from './buckets.ts'

/** A token of which a secret was found where everybody can read it. */
export interface LeakedRow {
  token: TokenDocument
  status: TokenStatus
  /** The latest report. */
  leak: LeakDocument
  /** Requests since the hour in which that was reported. */
  requests: number
}

interface Asked {
  accountId: string | null
  limit: number
  /** RFC 3339 UTC. */
  now: string
}

/** @returns those that were reported last first, including revoked ones, and how many there are */
export async function leakedTokens(
  readModel: DocumentReader,
  { accountId, limit, now }: Asked,
  signal?: AbortSignal,
): Promise<{ total: number; data: LeakedRow[] }> {
  const where = accountId === null ? [] : [{ field: 'accountId', op: 'eq' as const, value: accountId }]
  const latest = new Map<string, LeakDocument>()
  const walk = eachDocument<LeakDocument>(readModel, 'leaks', { where, order: { field: 'at' }, signal })
  for await (const leak of walk) latest.set(leak.tokenId, leak)
  const top = createTop(limit, latestFirst)
  await addAll(top, latest.values(), signal)
  const first = top.first()
  const ids = first.map(({ tokenId }) => tokenId)
  const found = await findById<TokenDocument>(readModel, 'tokens', ids, signal)
  const known = new Map(found.map((token) => [token.id, token]))
  const data: LeakedRow[] = []
  for (const leak of first) {
    const token = known.get(leak.tokenId)
    if (!token) continue
    const range = { from: leak.at, to: now, granularity: 'day' as const }
    let requests = 0
    const buckets = eachBucket(readModel, { tokenId: token.id }, { range, now }, { signal })
    for await (const bucket of buckets) requests += bucket.requests
    data.push({ token, status: statusAt(token, now), requests, leak })
  }
  return { total: top.total(), data }
}

const latestFirst = (a: LeakDocument, b: LeakDocument): number =>
  a.at === b.at ? (a.id < b.id ? -1 : 1) : a.at < b.at ? 1 : -1
