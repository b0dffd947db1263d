import type { Condition } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import * as tokensThat from '../readModel/statuses.ts'

/** How many tokens there are that are not revoked, and how many of those need a look. */
export interface TokenCounts {
  live: number
  /** They expire within 14 days. */
  expiring: number
  neverExpires: number
  /** They were not used for 90 days, and not made since then. */
  unused: number
}

const EXPIRING_DAYS = 14
const UNUSED_DAYS = 90

/** Counts the tokens of an account, or of all (null). @param now RFC 3339 UTC */
export async function countTokens(
  readModel: DocumentReader,
  accountId: string | null,
  now: string,
  signal?: AbortSignal,
): Promise<TokenCounts> {
  const count = (...where: readonly Condition[]): Promise<number> => {
    const those = tokensThat.notRevoked(accountId).map((of) => [...of, ...where])
    return tokensThat.countEach(readModel, those, signal)
  }
  const [used, never] = tokensThat.unusedEither(UNUSED_DAYS, now)
  const [live, expiring, neverExpires, usedLongAgo, neverUsed] = await Promise.all([
    count(),
    count(...tokensThat.expiresWithin(EXPIRING_DAYS, now)),
    count(tokensThat.neverExpires),
    count(...used),
    count(...never),
  ])
  return { live, expiring, neverExpires, unused: usedLongAgo + neverUsed }
}
