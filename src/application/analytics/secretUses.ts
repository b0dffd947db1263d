import type { RetiredUsesDocument } from '../../../projections/retiredSecretUses.ts'
import { retiredUsesId } from '../../../projections/retiredSecretUses.ts'
import type { RotatedSecretDocument } from '../../../projections/rotatedSecrets.ts'
import type { TokenDocument } from '../../../projections/tokens.ts'
import { bucketStart, type UsageDocument } from '../../../projections/tokenUsage.ts'
import { secretsOf } from '../eventLog/tokenStream.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { eachDocument } from '../readModel/pages.ts'
import type { Owner, UsageRange } from './buckets.ts'

/** The uses of one secret of a token in a range. */
export interface SecretUses {
  /** Null where its rotation is not known, since the documents about it are damaged. */
  hint: string | null
  requests: number
  /** The last of these requests; null if there was none. */
  lastAccessed: string | null
}

/** By the revisions that name the secrets. */
export type UsesBySecret = Map<number, { requests: number; lastAt: string }>

export function addSecrets(sums: UsesBySecret, { secrets }: Pick<UsageDocument, 'secrets'>): void {
  for (const [name, { requests, lastAt }] of Object.entries(secrets)) {
    const known = sums.get(Number(name))
    sums.set(Number(name), {
      requests: (known?.requests ?? 0) + requests,
      lastAt: known && known.lastAt > lastAt ? known.lastAt : lastAt,
    })
  }
}

/** A token that is rotated every hour has had many. */
const MOST_SECRETS = 100

/** The secrets that are accepted, or were used, newest first. */
export async function secretUses(
  readModel: Pick<DocumentReader, 'find'>,
  token: TokenDocument,
  sums: UsesBySecret,
  signal?: AbortSignal,
): Promise<SecretUses[]> {
  const { secret, rotation } = secretsOf(token)
  const hints = new Map(
    [secret, ...(rotation ? [rotation.secret] : [])].map((one) => [one.revision, one.hint]),
  )
  const shown = [...new Set([...hints.keys(), ...sums.keys()])].sort((a, b) => b - a).slice(0, MOST_SECRETS)
  const others = shown.filter((revision) => !hints.has(revision))
  if (others.length > 0) {
    const where = [
      { field: 'tokenId', op: 'eq' as const, value: token.id },
      { field: 'revision', op: 'gte' as const, value: others.at(-1) ?? 0 },
    ]
    const order = { field: 'revision' }
    // Secrets in between that were never used are read as well.
    const walk = eachDocument<RotatedSecretDocument>(readModel, 'rotatedSecrets', { where, order, signal })
    for await (const { revision, hint } of walk) hints.set(revision, hint)
  }
  return shown.map((revision) => {
    const { requests = 0, lastAt = null } = sums.get(revision) ?? {}
    return { hint: hints.get(revision) ?? null, requests, lastAccessed: lastAt }
  })
}

/** Refused requests with secrets that had retired. */
export interface RetiredSum {
  requests: number
  lastAt: string
}

/** Adds them up by token. A day that overlaps with the range counts as a whole. */
export async function retiredUses(
  readModel: Pick<DocumentReader, 'find'>,
  owner: Owner | null,
  { from, to }: Pick<UsageRange, 'from' | 'to'>,
  signal?: AbortSignal,
): Promise<Map<string, RetiredSum>> {
  const sums = new Map<string, RetiredSum>()
  const documents = eachDocument<RetiredUsesDocument>(readModel, 'retiredSecretUses', {
    ...walkOf(owner, bucketStart(from, 'day'), to),
    signal,
  })
  for await (const { tokenId, requests, lastAt } of documents) {
    const known = sums.get(tokenId)
    sums.set(tokenId, {
      requests: (known?.requests ?? 0) + requests,
      lastAt: known && known.lastAt > lastAt ? known.lastAt : lastAt,
    })
  }
  return sums
}

function walkOf(owner: Owner | null, from: string, to: string) {
  const between = (field: string, id: (at: string) => string) => [
    { field, op: 'gte' as const, value: id(from) },
    { field, op: 'lt' as const, value: id(to) },
  ]
  if (owner && 'tokenId' in owner) {
    const { tokenId } = owner
    return { where: between('id', (at) => retiredUsesId(tokenId, at)) }
  }
  const ofAccount = owner ? [{ field: 'accountId', op: 'eq' as const, value: owner.accountId }] : []
  return { where: [...ofAccount, ...between('at', (at) => at)], order: { field: 'at' } }
}
