import { randomUUID } from 'node:crypto'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import { type Damage, type Walked, walkLog } from '../../../src/application/audit/verifyLog.ts'
import { genesis, link, storedChain } from '../../../src/domain/chain.ts'
import type { EventData, NewEvent, StoredEvent } from '../../../src/domain/events.ts'
import { usageStream } from '../../../src/domain/streams.ts'
import type { RetiredEntry, UsageEntry } from '../../../src/domain/usageEntries.ts'
import { createWriter } from './movable.ts'

/** Events at chosen times, as the service writes them, for tests of audits. */

export const INSTANCE = '01a20813-0000-7000-8000-00000000a0d1'
/** 1 November 2026, 10:00, plus this many milliseconds. */
export const time = (millis: number): string => new Date(Date.UTC(2026, 10, 1, 10) + millis).toISOString()
export const USAGE = usageStream(INSTANCE, time(0))

function event(type: string, at: string, data: object, actor = { kind: 'jwt', id: 'acct_1' }): NewEvent {
  const id = randomUUID()
  const metadata = { at, actor, requestId: id, correlationId: id, schemaVersion: 1 }
  return { id, type, data, metadata } as unknown as NewEvent
}

export const created = (tokenId: string, at = time(0)): NewEvent =>
  event('TokenCreated', at, {
    tokenId,
    accountId: 'acct_1',
    name: 'CI é 😀',
    hash: 'ab'.repeat(32),
    hashKeyId: 'k1',
    hint: 'tkl_…abcd',
    scopes: ['orders:read'],
    expiresAt: null,
  })
export const renamed = (name: string, at = time(0)): NewEvent => event('TokenUpdated', at, { name })
export const revoked = (at = time(0)): NewEvent => event('TokenRevoked', at, { reason: 'leaked' })
const secretOf = (revision: number) => ({
  hash: `${revision % 10}a`.repeat(32),
  hashKeyId: 'k1',
  hint: `tkl_…${String(revision).padStart(4, '0')}`,
})
/** @param revision of this event, which names the new secret */
export const rotated = (
  revision: number,
  {
    beside = 0,
    graceSeconds = 60,
    activate = 'on_first_use',
    retiresAt = null as string | null,
    at = time(0),
  } = {},
): NewEvent =>
  event('TokenRotationStarted', at, {
    ...secretOf(revision),
    activate,
    graceSeconds,
    beside: { ...secretOf(beside), revision: beside, retiresAt },
  })
export const activated = (revision: number, graceSeconds: number | null, at = time(0)): NewEvent =>
  event('TokenSecretActivated', at, { ...named(revision), graceSeconds }, { kind: 'system', id: INSTANCE })
const named = (revision: number) => ({ revision, hint: secretOf(revision).hint })
export const rotationEnded = (
  status: 'pending' | 'grace',
  { dead, remaining }: { dead: number; remaining: number },
  at = time(0),
): NewEvent =>
  event('TokenRotationEnded', at, {
    status,
    hint: secretOf(dead).hint,
    remaining: { ...secretOf(remaining), revision: remaining },
  })
/** Refused requests with a secret of before. */
export const refusedOnes = (tokenId: string, what: Partial<RetiredEntry> = {}): NewEvent => {
  const { count = 1, firstAt = time(0), lastAt = firstAt } = what
  const last = { lastIp: '10.0.0.1', lastUserAgent: null }
  const one = { tokenId, accountId: 'acct_1', secret: 0, count, firstAt, lastAt, ...last, ...what }
  return event('RetiredSecretsUsed', lastAt, { entries: [one] }, { kind: 'system', id: INSTANCE })
}
export const entry = (tokenId: string, what: Partial<UsageEntry> = {}): UsageEntry => {
  const { count = 1, firstAt = time(0), lastAt = firstAt } = what
  return {
    tokenId,
    accountId: 'acct_1',
    count,
    firstAt,
    lastAt,
    outcomes: { '2xx': count },
    routes: [{ method: 'GET', route: '/orders/:id', count }],
    tokenRevision: 0,
    secret: 0,
    lastIp: '10.0.0.1',
    lastUserAgent: null,
    ...what,
  }
}
/** One event with these entries. */
export const usedTogether = (...entries: UsageEntry[]): NewEvent =>
  event('TokensUsed', entries.at(-1)?.lastAt ?? time(0), { entries }, { kind: 'system', id: INSTANCE })
export const used = (tokenId: string, what: Partial<UsageEntry> = {}): NewEvent =>
  usedTogether(entry(tokenId, what))
/** As older versions wrote it. */
export const usedBefore = (tokenId: string, what: Partial<UsageEntry> = {}): NewEvent => {
  const { secret: _, ...data } = entry(tokenId, what)
  return event('TokenUsed', data.lastAt, data, { kind: 'system', id: INSTANCE })
}
export const lost = (data: EventData<'UsageLost'>): NewEvent =>
  event('UsageLost', data.to, data, { kind: 'system', id: INSTANCE })

/** @returns what `createWriter` does: appends linked events to the end of a stream */
export const writerTo = (store: EventStore) => createWriter(store)

export async function walkOf(store: EventStore): Promise<Walked & { found: Damage[] }> {
  const found: Damage[] = []
  const walked = await walkLog(store, { onDamage: (damage) => void found.push(damage) })
  return { ...walked, found }
}

/** Makes the links of a stream valid again, as somebody can who knows how they are made. */
export function relink(log: StoredEvent[], stream: string): void {
  let chain = genesis(stream)
  for (const stored of log.filter((each) => each.stream === stream)) {
    const [fitting] = link(chain, [stored])
    stored.metadata = fitting?.metadata
    chain = storedChain(stored)
  }
}
