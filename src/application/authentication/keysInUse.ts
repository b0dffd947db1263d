import type { TokenDocument } from '../../../projections/tokens.ts'
import { type Pepper, PLAIN_KEY_ID } from '../../domain/credential.ts'
import { type Clock, iso } from '../ports/clock.ts'
import type { Condition } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import type { Logger } from '../ports/telemetry.ts'
import { eachDocument } from '../readModel/pages.ts'
import * as tokensThat from '../readModel/statuses.ts'

/** The keys with which hashes of tokens were made. Each number is that of tokens that are not revoked. */

type Reads = Pick<DocumentReader, 'find' | 'count'>

const COUNT_NO_FURTHER = 1_000_000
const NOT_REVOKED = tokensThat.notRevoked(null)

/**
 * Says in the log which keys this process lacks, and how many tokens it refuses for that. It looks in the background,
 * since a key may have been taken away on purpose, and no start waits for it.
 */
export function reportMissingKeys({
  readModel,
  peppers,
  clock,
  log,
}: {
  readModel: Reads
  peppers: readonly Pepper[]
  clock: Clock
  log: Pick<Logger, 'warn' | 'error'>
}): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const { signal } = stopping

  async function report(): Promise<void> {
    for (const [keyId, tokens] of await missingKeys(readModel, peppers, iso(clock()), signal))
      log.error({ keyId, tokens }, 'TOKEN_PEPPERS lacks a key that made hashes of tokens: they are refused')
  }

  const reported = report().catch((err: unknown) => {
    if (!signal.aborted) log.warn({ err }, 'it is not known whether a key of stored tokens is missing')
  })
  return {
    async stop() {
      stopping.abort()
      await reported
    },
  }
}

/** The number of tokens for each key that these are without. Costs next to nothing where none is missing. */
export async function missingKeys(
  readModel: Reads,
  peppers: readonly Pepper[],
  now: string,
  signal?: AbortSignal,
): Promise<Map<string, number>> {
  const configured = new Set(peppers.map(({ id }) => id))
  if (missingAmong(await keyIds(readModel, signal), configured).length === 0) return new Map()
  const inUse = await keyIdsInUse(readModel, now, signal)
  return new Map(missingAmong(inUse.keys(), configured).map((id) => [id, inUse.get(id) ?? 0]))
}

/** The ids without a key in the settings. Imported tokens need none. */
export const missingAmong = (ids: Iterable<string>, configured: ReadonlySet<string>): string[] =>
  [...ids].filter((id) => id !== PLAIN_KEY_ID && !configured.has(id))

/** The number of tokens for each key id. Of tokens with two secrets, both count, until the older one has retired. */
export async function keyIdsInUse(
  readModel: Reads,
  now: string,
  signal?: AbortSignal,
): Promise<Map<string, number>> {
  const inUse = new Map<string, number>()
  const add = (id: string, tokens: number) => inUse.set(id, (inUse.get(id) ?? 0) + tokens)
  for (const of of NOT_REVOKED) {
    for await (const id of idsIn(readModel, of, 'hashKeyId', signal)) {
      const ofKey: Condition = { field: 'hashKeyId', op: 'eq', value: id }
      add(id, await readModel.count('tokens', [...of, ofKey], COUNT_NO_FURTHER, signal))
    }
    const where: Condition[] = [...of, { field: 'newerHashKeyId', op: 'gt', value: '' }]
    const rotated = { where, order: { field: 'newerHashKeyId' }, signal }
    for await (const token of eachDocument<TokenDocument>(readModel, 'tokens', rotated)) {
      const { hashKeyId, newerHashKeyId, retiresAt } = token
      add(String(newerHashKeyId), 1)
      if (hashKeyId === newerHashKeyId || (typeof retiresAt === 'string' && retiresAt <= now))
        add(hashKeyId, -1)
    }
  }
  return new Map([...inUse].filter(([, tokens]) => tokens > 0))
}

async function keyIds(readModel: Reads, signal?: AbortSignal): Promise<Set<string>> {
  const ids = new Set<string>()
  for (const of of NOT_REVOKED)
    for (const field of ['hashKeyId', 'newerHashKeyId'] as const)
      for await (const id of idsIn(readModel, of, field, signal)) ids.add(id)
  return ids
}

/** Goes from one key id to the next, so that neither memory nor time depends on the number of tokens. */
async function* idsIn(
  readModel: Reads,
  of: readonly Condition[],
  field: 'hashKeyId' | 'newerHashKeyId',
  signal?: AbortSignal,
): AsyncGenerator<string> {
  for (let last = ''; ; ) {
    signal?.throwIfAborted()
    const where: Condition[] = [...of, { field, op: 'gt', value: last }]
    const [next] = await readModel.find('tokens', { where, order: { field }, limit: 1 }, signal)
    if (!next) return
    last = String(next[field])
    yield last
  }
}
