import { DAY_MS } from '../../domain/time.ts'
import { NOT_REVOKED, PHASES, type Phase } from '../../../projections/tokens.ts'
import { iso } from '../ports/clock.ts'
import type { Condition, Document } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'

/**
 * Conditions for the tokens of an account, or of all (null), each of which an index serves. The caller passes the time,
 * since a token has expired a moment before an event says so.
 */

type Account = string | null

export const inPhase = (accountId: Account, phase: Phase): Condition[] => [
  ...(accountId === null ? [] : [{ field: 'accountId', op: 'eq', value: accountId } as const]),
  { field: 'phase', op: 'eq', value: phase },
]

export const inAnyPhase = (accountId: Account): Condition[][] =>
  PHASES.map((phase) => inPhase(accountId, phase))

export const notRevoked = (accountId: Account): Condition[][] =>
  NOT_REVOKED.map((phase) => inPhase(accountId, phase))

/**
 * What is found in several phases. They are read one after the other, as tokens come to them, so that none is missed; one
 * that comes to the next meanwhile is found twice, and given once, as it is then.
 */
export async function findInPhases(
  phases: readonly Phase[],
  find: (phase: Phase) => Promise<readonly Document[]>,
): Promise<Document[]> {
  const found = new Map<string, Document>()
  for (const phase of phases) for (const token of await find(phase)) found.set(token.id, token)
  return [...found.values()]
}

export const neverExpires: Condition = { field: 'expiresAt', op: 'eq', value: null }
export const notExpired = (now: string): Condition => ({
  any: [neverExpires, { field: 'expiresAt', op: 'gt', value: now }],
})
export const hasExpired = (now: string): Condition => ({ field: 'expiresAt', op: 'lte', value: now })

/** From now on, and within so many days. */
export const expiresWithin = (days: number, now: string): Condition[] => [
  { field: 'expiresAt', op: 'gt', value: now },
  { field: 'expiresAt', op: 'lte', value: iso(Date.parse(now) + days * DAY_MS) },
]

/** Not used for so many days, and not made since then. */
export const unusedFor = (days: number, now: string): Condition[] => {
  const [used, never] = unusedEither(days, now)
  return [{ any: [...used, neverUsed] }, ...never.filter((one) => one !== neverUsed)]
}

const neverUsed: Condition = { field: 'lastAccessed', op: 'eq', value: null }

/** The same as two conditions, each of which an index serves: last used by then, or never used and made by then. */
export function unusedEither(days: number, now: string): [used: Condition[], never: Condition[]] {
  const then = iso(Date.parse(now) - days * DAY_MS)
  return [
    [{ field: 'lastAccessed', op: 'lte', value: then }],
    [neverUsed, { field: 'createdAt', op: 'lte', value: then }],
  ]
}

/** Neither revoked nor expired. */
export const active = (accountId: Account, at: string): Condition[] => [
  ...inPhase(accountId, 'active'),
  notExpired(at),
]

/** Those that an event calls expired, and those of which only the clock knows it. */
export const expired = (accountId: Account, at: string): Condition[][] => [
  inPhase(accountId, 'expired'),
  [...inPhase(accountId, 'active'), hasExpired(at)],
]

export const damaged = (accountId: string): Condition[] => [
  { field: 'accountId', op: 'eq', value: accountId },
  { field: 'stopped', op: 'gte', value: '' },
]

/** How many tokens each of these conditions is true of, together. No token may be counted by two of them. */
export async function countEach(
  readModel: Pick<DocumentReader, 'count'>,
  those: readonly (readonly Condition[])[],
  signal?: AbortSignal,
): Promise<number> {
  const counts = those.map((where) => readModel.count('tokens', where, Number.MAX_SAFE_INTEGER, signal))
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0)
}
