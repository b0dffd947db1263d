import { genesis, link, storedChain } from '../../domain/chain.ts'
import type { Fact, NewEvent } from '../../domain/events.ts'
import { ROLLED_UP_DAYS, rollUpStream, USAGE_STREAM } from '../../domain/streams.ts'
import { upcast } from '../../domain/upcast.ts'
import { type AppendDependencies, appendUntilKnown, firstAppend } from '../eventLog/append.ts'
import type { Ids } from '../eventLog/ids.ts'
import { createInspector } from '../eventLog/chainInspector.ts'
import type { Clock } from '../ports/clock.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { createDayFold, type DayFold } from './dayFold.ts'
import { systemEvent } from '../eventLog/systemEvent.ts'
import { linked, type StreamTail } from '../eventLog/linkedEvents.ts'
import { type RolledUpDays, type UsageEvent, usageOf } from './rolledUpDays.ts'
import type { PendingDay } from './usageScan.ts'

export interface RollUp extends AppendDependencies {
  clock: Clock
  ids: Ids
  /** Identifies this start of the process, as the actor of the events that it writes. */
  instance: string
  /** How many buckets and routes one round folds in memory; for tests. */
  maxSize?: number
}

/**
 * Rolls a day up. It writes the sums of each token with uses that are not rolled up yet, and then which events these
 * sums cover. If it ends before that, the next roll-up repeats it, on top of the last complete one.
 * @throws ConflictError another process is rolling up; DamagedError the roll-ups are not what was written; the reason
 *   that `signal` was aborted with; errors of `append`
 */
export async function rollUpDay(
  context: RollUp,
  days: RolledUpDays,
  pending: PendingDay,
  signal: AbortSignal,
): Promise<void> {
  const { day } = pending
  const stream = rollUpStream(day)
  // Read before the events: if another process adds to one of these streams meanwhile, an append here must conflict,
  // since that process may have read other events.
  const [tail, ofDays] = [await tailOf(context.store, stream), { ...days.tail() }]
  const covered: Covered = { streams: new Map(), lost: 0, refused: new Set() }
  let upTo = days.upTo(day)
  for (let above: string | null = ''; above !== null; ) {
    const fold = createDayFold(day, above, context.maxSize)
    if (await foldDay(context.store, days, pending, { fold, covered, isFirst: above === '', signal })) {
      await append(context, stream, tail, rollUps(fold), signal)
      upTo = tail.revision
    }
    above = fold.last()
  }
  if (covered.streams.size === 0) return
  const covers = [...covered.streams].map(([name, revision]) => ({ stream: name, revision }))
  const ending: Fact<'UsageDayRolledUp'> = {
    type: 'UsageDayRolledUp',
    data: { day, upTo, lost: covered.lost, covers },
  }
  await append(context, ROLLED_UP_DAYS, ofDays, [ending], signal)
  await days.refresh()
}

/** What the first round finds out about the events, for all rounds. */
interface Covered {
  /** For each usage stream, the revision of its last event of this day. */
  streams: Map<string, number>
  lost: number
  /** Positions of events that the projector refuses as well, so that they are not counted. */
  refused: Set<string>
}

interface Round {
  fold: DayFold
  covered: Covered
  isFirst: boolean
  signal: AbortSignal
}

/** @returns whether there was any use to roll up */
async function foldDay(
  store: EventStore,
  days: RolledUpDays,
  pending: PendingDay,
  { fold, covered, isFirst, signal }: Round,
): Promise<boolean> {
  const upTo = days.upTo(pending.day)
  const start: StreamTail = { revision: -1, chain: genesis(rollUpStream(pending.day)) }
  for await (const stored of linked(store, rollUpStream(pending.day), start)) {
    if (stored.revision > upTo) break
    const read = upcast(stored)
    if (read.kind === 'event' && read.event.type === 'UsageRolledUp') fold.base(read.event)
  }
  let isUsed = false
  const inspect = isFirst ? createInspector(store) : undefined
  for await (const event of usesOf(store, days, pending, covered.refused, inspect)) {
    signal.throwIfAborted()
    if (isFirst) covered.streams.set(event.stream, event.revision)
    if (event.type === 'TokensUsed' || event.type === 'TokenUsed') {
      isUsed = true
      fold.use(event)
    } else if (event.type === 'UsageLost' && isFirst) covered.lost += event.data.count
  }
  return isUsed
}

/** The events of a day that its roll-up does not cover yet. */
async function* usesOf(
  store: EventStore,
  days: RolledUpDays,
  { day, after, until }: PendingDay,
  refused: Set<string>,
  inspect?: ReturnType<typeof createInspector>,
): AsyncGenerator<UsageEvent, void, undefined> {
  for await (const events of store.readAll(after)) {
    for (const stored of events) {
      if (stored.position > until) return
      if (!stored.stream.startsWith(USAGE_STREAM)) continue
      // Most answers need no read of the store, and awaiting each of them would cost more than the check itself.
      const damage = inspect?.(stored) ?? null
      if ((damage instanceof Promise ? await damage : damage) !== null) refused.add(stored.position)
      if (refused.has(stored.position)) continue
      const usage = usageOf(stored)
      if (usage?.days.has(day) && !days.covers(day, stored)) yield usage.event
    }
  }
}

async function tailOf(store: EventStore, stream: string): Promise<StreamTail> {
  const tail: StreamTail = { revision: -1, chain: genesis(stream) }
  const events = linked(store, stream, tail)
  while (!(await events.next()).done);
  return tail
}

function* rollUps(fold: DayFold): Generator<Fact<'UsageRolledUp'>, void, undefined> {
  for (const data of fold.rolledUp()) yield { type: 'UsageRolledUp', data }
}

const EVENTS_AT_ONCE = 100

/** Appends facts to a stream behind `tail`. `tail` is changed: it then says where the stream ends. */
async function append(
  context: RollUp,
  stream: string,
  tail: StreamTail,
  facts: Iterable<Fact<'UsageRolledUp' | 'UsageDayRolledUp'>>,
  signal: AbortSignal,
): Promise<void> {
  let queue: NewEvent[] = []
  const appendSome = async (): Promise<void> => {
    signal.throwIfAborted()
    const events = link(tail.chain, firstAppend(queue))
    const expected = tail.revision < 0 ? 'no_stream' : tail.revision
    const { revision } = await appendUntilKnown(context, stream, expected, events)
    tail.revision = revision
    tail.chain = storedChain(events.at(-1) as NewEvent)
    queue = queue.slice(events.length)
  }
  for (const fact of facts) {
    queue.push(systemEvent(fact, context))
    if (queue.length >= EVENTS_AT_ONCE) await appendSome()
  }
  while (queue.length > 0) await appendSome()
}
