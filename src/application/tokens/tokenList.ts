import { foldCase } from '../../../projections/foldCase.ts'
import { NOT_REVOKED, PHASES, type Phase, type TokenDocument } from '../../../projections/tokens.ts'
import { UNKNOWN_HINT } from '../../domain/credential.ts'
import { DAY_MS } from '../../domain/time.ts'
import { statusAt } from '../../domain/token.ts'
import { iso } from '../ports/clock.ts'
import type { Condition, Document } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { compareBy, type Key } from '../readModel/order.ts'
import * as tokensThat from '../readModel/statuses.ts'

export type StatusFilter = 'live' | 'active' | 'expired' | 'revoked' | 'all'

/** Which tokens are listed; all that is named has to be true of them. */
export interface TokenFilter {
  status: StatusFilter
  /** Text that the name or the description contains, ignoring case. */
  q?: string
  /** The hint that the tokens have. */
  hint?: string
  /** They were not used for so many days, and not made since then. */
  unusedDays?: number
  /** They expire within so many days from now, and have not expired yet. */
  expiringDays?: number
  neverExpires?: boolean
}

export interface TokenList extends TokenFilter {
  order: { field: string; descending: boolean }
  after: Key | null
  limit: number
}

/** The token is not damaged. */
const sound: Condition = { field: 'stopped', op: 'eq', value: null }

/**
 * Up to this many tokens that an index picks out are sorted here. Beyond that, they are picked out of the index that has
 * the order.
 */
const MOST_SORTED = 2_000
/** How many tokens with one hint are looked at: there are 14 million hints. */
const MOST_HINTED = 1_000

/** What an index picks out: conditions, and the field that the index ends with. */
interface Picked {
  where: readonly Condition[]
  field: string
}

/**
 * Tokens of an account, or of all (null), in an order. An index has the order of those in one phase. No index can have an
 * order and know as well what expires soon or was not used, since that depends on the time of the question; other
 * indexes know that.
 * @param now RFC 3339 UTC
 */
export async function listTokens(
  readModel: DocumentReader,
  accountId: string | null,
  { order, after, limit, ...filter }: TokenList,
  now: string,
  signal?: AbortSignal,
): Promise<Document[]> {
  const inOrder = (found: readonly Document[]) => firstBehind(found, order, after).slice(0, limit)
  const read = (where: readonly Condition[]) =>
    readModel.find('tokens', { where, order, ...(after && { after }), limit }, signal)
  if (isImpossible(filter)) return []
  const { picks, those, others } = conditionsOf(filter, now)

  async function areFew(of: readonly Condition[]): Promise<boolean> {
    let left = MOST_SORTED
    for (const { where } of picks)
      left -= await readModel.count('tokens', [...of, ...where], left + 1, signal)
    return left >= 0
  }

  async function inPhase(phase: Phase): Promise<Document[]> {
    const of = tokensThat.inPhase(accountId, phase)
    const isInOrder = picks.length === 0 || (picks.length === 1 && picks[0]?.field === order.field)
    if (isInOrder || !(await areFew(of))) return read([...of, ...those, ...others])
    const found: Document[] = []
    for (const { where, field } of picks) {
      const query = { where: [...of, ...where, ...others], order: { field }, limit: MOST_SORTED }
      found.push(...(await readModel.find('tokens', query, signal)))
    }
    return inOrder(found)
  }

  if (isTelling(filter.hint)) {
    const where: Condition[] = [{ field: 'hint', op: 'eq', value: filter.hint }, ...namedBy(filter)]
    const found = await readModel.find('tokens', { where, order: 'any', limit: MOST_HINTED }, signal)
    return inOrder(
      found.filter((token) => isListed(token as unknown as TokenDocument, accountId, filter, now)),
    )
  }
  const { status } = filter
  if (status === 'revoked') return inPhase('revoked')
  return inOrder(await tokensThat.findInPhases(status === 'all' ? PHASES : NOT_REVOKED, inPhase))
}

/**
 * The conditions of a filter: those that an index picks out, `those` in a form for any other index, and `others`, which
 * no index knows.
 */
function conditionsOf(filter: TokenFilter, now: string) {
  const { status, unusedDays } = filter
  const expiry = expiryOf(filter, now)
  const isSound = status === 'active' || status === 'expired' ? [sound] : []
  const others = [...isSound, ...namedBy(filter)]
  if (unusedDays === undefined) {
    const picks: Picked[] = expiry.length === 0 ? [] : [{ where: expiry, field: 'expiresAt' }]
    return { picks, those: expiry, others }
  }
  const [used, never] = tokensThat.unusedEither(unusedDays, now)
  const picks: Picked[] = [
    { where: used, field: 'lastAccessed' },
    { where: never, field: 'createdAt' },
  ]
  return { picks, those: tokensThat.unusedFor(unusedDays, now), others: [...expiry, ...others] }
}

/** Imported tokens may all have the same hint, which picks out nothing. */
const isTelling = (hint: string | undefined): hint is string => hint !== undefined && hint !== UNKNOWN_HINT

function namedBy({ q, hint }: TokenFilter): Condition[] {
  const hinted: Condition[] = hint === UNKNOWN_HINT ? [{ field: 'hint', op: 'eq', value: hint }] : []
  if (!q) return hinted
  const value = foldCase(q)
  const contains = (field: string): Condition => ({ field, op: 'contains', value })
  return [...hinted, { any: [contains('nameFolded'), contains('descriptionFolded')] }]
}

/** What is asked of the expiry. */
function expiryOf({ status, expiringDays, neverExpires }: TokenFilter, now: string): Condition[] {
  if (neverExpires) return [tokensThat.neverExpires]
  return [
    ...(status === 'active' ? [tokensThat.notExpired(now)] : []),
    ...(status === 'expired' ? [tokensThat.hasExpired(now)] : []),
    ...(expiringDays === undefined ? [] : tokensThat.expiresWithin(expiringDays, now)),
  ]
}

/** Can no token be as it is asked for? */
const isImpossible = ({ status, expiringDays, neverExpires }: TokenFilter): boolean =>
  Boolean(neverExpires) && (status === 'expired' || expiringDays !== undefined)

/** Is a token, wherever it was found, one of the list? Its name is not looked at. */
function isListed(
  token: TokenDocument,
  accountId: string | null,
  { status, unusedDays, expiringDays, neverExpires }: TokenFilter,
  now: string,
): boolean {
  if (accountId !== null && token.accountId !== accountId) return false
  const own = statusAt(token, now)
  if (status !== 'all' && (status === 'live' ? own === 'revoked' : own !== status)) return false
  const inDays = (days: number): string => iso(Date.parse(now) + days * DAY_MS)
  const { expiresAt, lastAccessed = token.createdAt } = token
  if (neverExpires && expiresAt !== null) return false
  if (unusedDays !== undefined && lastAccessed > inDays(-unusedDays)) return false
  return (
    expiringDays === undefined || (expiresAt !== null && expiresAt > now && expiresAt <= inDays(expiringDays))
  )
}

function firstBehind(found: readonly Document[], order: TokenList['order'], after: Key | null): Document[] {
  const compare = compareBy(order)
  const key = after && { id: after.id, [order.field]: after.value }
  return found.filter((document) => key === null || compare(document, key) > 0).sort(compare)
}
