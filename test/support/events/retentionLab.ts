import { expect } from 'chai'
import { applyChange, present, type StoredDocument } from '../../../projections/change.ts'
import { tokenUsage } from '../../../projections/tokenUsage.ts'
import { ids } from '../../../src/application/eventLog/ids.ts'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import { createRetention, GRACE_MS } from '../../../src/application/retention/retention.ts'
import { createRolledUpDays, usageOf } from '../../../src/application/retention/rolledUpDays.ts'
import { createUsageScan } from '../../../src/application/retention/usageScan.ts'
import { genesis, link } from '../../../src/domain/chain.ts'
import type { EventData, NewEvent, StoredEvent } from '../../../src/domain/events.ts'
import { USAGE_STREAM, usageStream } from '../../../src/domain/streams.ts'
import { upcast } from '../../../src/domain/upcast.ts'
import { expectedAfter, type Happened } from '../../integration/projections.reference.ts'
import { memoryStore } from '../stores/memoryStore.ts'
import { countingTelemetry } from '../stores/pieces.ts'
import { DAY, FIRST_DAY, usageLife } from './usageLife.ts'

/** A log in memory with days of usage, and retention that works on it. */

export const RETENTION = 7
const byId = (a: { id?: unknown }, b: { id?: unknown }): number => (String(a.id) < String(b.id) ? -1 : 1)
export const isUsage = ({ stream }: StoredEvent): boolean => stream.startsWith(USAGE_STREAM)
export const ofType = (log: readonly StoredEvent[], type: string): StoredEvent[] =>
  log.filter((event) => event.type === type)

/** The usage documents that a log leads to. */
export function documentsOf(log: readonly StoredEvent[]): object[] {
  const documents = new Map<string, StoredDocument>()
  for (const stored of log) {
    const read = upcast(stored)
    if (read.kind !== 'event' || !tokenUsage.events.includes(read.event.type)) continue
    for (const change of tokenUsage.project(read.event)) {
      const document = documents.get(change.id) ?? {}
      applyChange(document, change, !documents.has(change.id))
      documents.set(change.id, document)
    }
  }
  return [...documents].map(([id, document]) => present<{ id: string }>(id, document)).sort(byId)
}

/** Plain sums over the uses, which share no code with the product. */
export const expectedOf = (uses: readonly StoredEvent[]): object[] =>
  expectedAfter(uses as unknown as Happened[]).tokenUsage.sort(byId)

export const OTHER_STREAM = usageStream('other', new Date(FIRST_DAY + DAY).toISOString())

export type RetentionLab = ReturnType<typeof retentionLab>

export function retentionLab() {
  const memory = memoryStore()
  const life = usageLife()

  function retentionOn(store: EventStore = memory.store, days: number | null = RETENTION) {
    const telemetry = countingTelemetry()
    const dependencies = { store, clock: life.clock, ids, telemetry, days, leads: () => true }
    return { ...createRetention(dependencies), errors: telemetry.errors }
  }

  /** Two days of uses. The second day has not ended yet. */
  async function twoDays(): Promise<StoredEvent[]> {
    await life.live(memory.store, 1)
    await life.live(memory.store, 2)
    life.now = FIRST_DAY + 2 * DAY + GRACE_MS
    return memory.log.filter(isUsage)
  }

  const day = (n: number): string => new Date(FIRST_DAY + n * DAY).toISOString().slice(0, 10)

  /** The log as if every use that is rolled up had been removed. */
  async function withoutRolledUp(): Promise<StoredEvent[]> {
    const days = createRolledUpDays(memory.store)
    await days.refresh()
    return memory.log.filter((event) => {
      const usage = isUsage(event) ? usageOf(event) : null
      return !usage || ![...usage.days].every((one) => days.covers(one, event))
    })
  }

  /** Checks that nothing is counted twice or lost, whether the uses are there or gone. */
  async function expectExact(uses = memory.log.filter(isUsage)): Promise<void> {
    expect(documentsOf(memory.log)).to.deep.equal(expectedOf(uses))
    const left = await withoutRolledUp()
    expect(left.filter(isUsage).length).to.be.lessThan(uses.length)
    expect(documentsOf(left)).to.deep.equal(expectedOf(uses))
  }

  /** A store that records what is swept. */
  function sweeping(): { store: EventStore; swept: string[] } {
    const swept: string[] = []
    const sweep = async (stream: string): Promise<boolean> => swept.push(stream) < 0
    return { store: { ...memory.store, sweep }, swept }
  }

  let made = 0
  const event = (type: string, data: object, schemaVersion = 1): NewEvent => {
    const id = `00000000-0000-4000-8000-${String(++made).padStart(12, '0')}`
    const at = new Date(life.now).toISOString()
    const actor = { kind: 'system', id: 'i' }
    const metadata = { at, actor, requestId: id, correlationId: id, schemaVersion, chain: '' }
    return { id, type, data, metadata } as unknown as NewEvent
  }

  const used = (at: number, routes: EventData<'TokenUsed'>['routes'] = []): EventData<'TokenUsed'> => ({
    tokenId: '00000000-0000-7000-8000-000000000001',
    accountId: 'acct_1',
    count: 3,
    firstAt: new Date(at).toISOString(),
    lastAt: new Date(at + 1).toISOString(),
    outcomes: { '2xx': 3 },
    routes,
    tokenRevision: 0,
    lastIp: null,
    lastUserAgent: null,
  })

  async function write(events: readonly NewEvent[]): Promise<void> {
    await memory.store.append(OTHER_STREAM, 'no_stream', link(genesis(OTHER_STREAM), events))
  }

  function finished(): Promise<string[]> {
    const days = createRolledUpDays(memory.store)
    const scan = createUsageScan(memory.store, days)
    return days
      .refresh()
      .then(() => scan.advance(new AbortController().signal))
      .then(() => scan.finished(new Date(life.now).toISOString()).map(({ stream }) => stream))
  }

  return {
    memory,
    life,
    retentionOn,
    twoDays,
    day,
    withoutRolledUp,
    expectExact,
    sweeping,
    event,
    used,
    write,
    finished,
  }
}
