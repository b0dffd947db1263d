import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../../projections/projection.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { TOKEN_STREAM, tokenIdOf, tokenStream } from '../../domain/streams.ts'
import { DAY_MS } from '../../domain/time.ts'
import { type StoredEntry, storedEntries, weightOf } from '../../domain/usageEntries.ts'
import { checkToken } from './checkToken.ts'
import type { DocumentDifference } from './differences.ts'
import { createLogRound } from './logRound.ts'
import { isOfProduct } from '../eventLog/productEvents.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { iso } from '../ports/clock.ts'
import type { Logger } from '../ports/telemetry.ts'
import type { DocumentReader, ProjectionTarget } from '../ports/readModel.ts'
import { StoreUnavailableError } from '../ports/errors.ts'
import { createUsageSamples } from './usageSamples.ts'

export interface SampleTelemetry {
  log: Pick<Logger, 'error' | 'warn'>
  /** So many documents were compared with their events. */
  checked(documents: number): void
  /** So many of them differed. */
  differed(documents: number): void
  /** How many events of the log the read model is without now. */
  refused?(events: number): void
}

interface Deps {
  store: EventStore
  readModel: DocumentReader & Pick<ProjectionTarget, 'checkpoint'>
  projections: readonly Projection[]
  telemetry: SampleTelemetry
  /** Applies events again, which restores what is missing or old in the documents of a token. */
  apply?: (events: readonly StoredEvent[]) => Promise<void>
  /** For how many days usage events are kept. Null, the default: for ever. */
  retentionDays?: number | null
  everyMs: number
  /** The pause before a difference is checked again. */
  againMs?: number
  /** A random number from 0 to 1. */
  random: () => number
}

export interface Sampler {
  stop(): Promise<void>
}

/** How much of the log is read each time, by weight. So ten million take about a day, and 0.3 % of a core. */
const PIECE = 2_000
const WEIGHT_PER_TURN = 200
const LOOKS = 4
/** Counting stops here. */
const MOST_REFUSED = 10_000
const AGAIN_MS = 1_000

/**
 * Compares a few documents with their events, again and again, for ever. It takes one token after the other from the
 * read model, which finds surplus documents; a token of the piece of the log that it reads, which finds missing ones;
 * and some days of uses. It goes round the log for that, starting somewhere in it. Each time costs a few indexed reads
 * and a piece of the log, so that authentication does not notice.
 */
export function startSampler(deps: Deps): Sampler {
  const { store, readModel, projections, telemetry, everyMs, random, againMs = AGAIN_MS } = deps
  const stopping = new AbortController()
  const { signal } = stopping
  const round = createLogRound(store, PIECE)
  const { retentionDays = null } = deps
  const keptFrom = () => (retentionDays === null ? null : dayOf(Date.now() - (retentionDays - 1) * DAY_MS))
  const usage = createUsageSamples({ readModel, projections, random, keptFrom })
  let last: string | null = null
  let isUnderWay = false
  /** Position of the last event of the product that was read. */
  let taken: string | null = null

  /** The tokens of the read model in turn, starting at a random one. */
  async function nextToken(): Promise<string | null> {
    last ??= await somewhere(readModel, random)
    if (last === null) return null
    const where = [{ field: 'id', op: 'gt' as const, value: last }]
    const [found] = await readModel.find('tokens', { where, limit: 1 })
    const [first] = found ? [found] : await readModel.find('tokens', { where: [], limit: 1 })
    last = first?.id ?? null
    return last
  }

  async function sampleToken(tokenId: string): Promise<void> {
    try {
      const { documents, differences, isMended } = await checkToken(deps, tokenId, signal, againMs)
      report(telemetry, { documents, differences, isMended })
    } catch (err) {
      // The projector has not closed the token for it, for then no event would have been read: so it is reported here.
      if (!(err instanceof DamagedError)) throw err
      telemetry.differed(1)
      telemetry.log.error({ err, tokenId }, 'the events of a token, or its documents, are damaged')
    }
  }

  async function takeAll(events: readonly StoredEvent[]): Promise<void> {
    const refused = await refusedAmong(readModel, events)
    let weight = 0
    for (const event of events) {
      weight += weightOf(event)
      if (weight >= WEIGHT_PER_TURN) {
        await nextTurn()
        weight = 0
      }
      if (isOfProduct(event)) taken = event.position
      usage.take(event, refused.has(event.position))
    }
  }

  /** Has the read model caught up with what was read of the log? If not, it lags, which is no difference. */
  async function hasCaughtUp(): Promise<boolean> {
    const checkpoints = await Promise.all(projections.map((one) => readModel.checkpoint(one)))
    return checkpoints.every((at) => (at?.position ?? '') >= (taken ?? ''))
  }

  /**
   * To be called at the end of the log. A difference is believed if the read model had seen all events that were folded
   * here, and no further event of that day has come since, which only the read model might have had.
   */
  async function sampleUsage(): Promise<void> {
    for (let looks = 1; looks <= LOOKS; looks++) {
      const isComparable = await hasCaughtUp()
      const compared = await usage.compare(dayOf(Date.now()))
      const differing = compared.filter(({ differences }) => differences.length > 0)
      if (differing.length > 0) await takeToEnd()
      if (differing.every((one) => isComparable && one.isCurrent())) {
        const documents = compared.reduce((sum, one) => sum + one.documents, 0)
        const differences = differing.flatMap((one) => one.differences)
        return report(telemetry, { documents, differences, isMended: false })
      }
      await sleep(againMs, undefined, { signal })
    }
  }

  async function takeToEnd(): Promise<void> {
    for (;;) {
      const { events, isEnd } = await round.next()
      await takeAll(events)
      if (isEnd) return
    }
  }

  async function sampleLog(): Promise<void> {
    if (!isUnderWay) round.restart(await somewhereInLog())
    isUnderWay = true
    const { events, isEnd } = await round.next()
    await takeAll(events)
    const tokenIds = events.flatMap(tokensOf)
    const tokenId = tokenIds[Math.floor(random() * tokenIds.length)]
    if (tokenId !== undefined) await sampleToken(tokenId)
    if (!isEnd) return
    await sampleUsage()
    usage.begin()
    round.restart(null)
  }

  /** A random position to start at, so that even a process that is restarted often gets to every part of a long log. */
  async function somewhereInLog(): Promise<string | null> {
    const tokenId = await nextToken()
    if (tokenId === null) return null
    try {
      const [first] = await store.readStream(tokenStream(tokenId), 0, 1)
      return first?.position ?? null
    } catch (error) {
      // A damaged token is reported when its turn comes.
      if (error instanceof DamagedError) return null
      throw error
    }
  }

  async function sample(): Promise<void> {
    const tokenId = await nextToken()
    if (tokenId !== null) await unlessDown(sampleToken(tokenId))
    await unlessDown(sampleLog())
    await unlessDown(countRefused())
  }

  async function unlessDown(work: Promise<void>): Promise<void> {
    await work.catch((err: unknown) => {
      // An outage, or damage of the log that the projector has reported: nothing to compare with.
      if (signal.aborted || err instanceof StoreUnavailableError || err instanceof DamagedError) return
      telemetry.log.warn({ err }, 'the read model could not be compared with its events')
    })
  }

  async function countRefused(): Promise<void> {
    telemetry.refused?.(await readModel.count('refusedEvents', [], MOST_REFUSED))
  }

  async function run(): Promise<void> {
    await unlessDown(countRefused())
    while (await sleep(everyMs, true, { signal, ref: false }).catch(() => false)) await unlessDown(sample())
  }

  const running = run()
  return {
    async stop() {
      stopping.abort()
      await running
    },
  }
}

const dayOf = (millis: number): string => iso(millis).slice(0, 10)

/** The tokens that an event is about. */
function tokensOf(event: StoredEvent): string[] {
  const { stream, type, data } = event
  if (stream.startsWith(TOKEN_STREAM)) return [tokenIdOf(stream)]
  const parts = type === 'UsageRolledUp' ? [(data ?? {}) as StoredEntry] : storedEntries(event)
  return parts.flatMap(({ tokenId }) => (typeof tokenId === 'string' ? [tokenId] : []))
}

/**
 * Positions of those events that the read model is without. One range query is cheaper than a look-up for each event.
 */
async function refusedAmong(
  readModel: DocumentReader,
  events: readonly StoredEvent[],
): Promise<ReadonlySet<string>> {
  const [from, to] = [events[0], events.at(-1)]
  if (!from || !to) return new Set()
  const where = [
    { field: 'id', op: 'gte' as const, value: from.position },
    { field: 'id', op: 'lte' as const, value: to.position },
  ]
  const found = await readModel.find('refusedEvents', { where, limit: events.length })
  return new Set(found.map(({ id }) => id))
}

/** What ids of tokens begin with, and lie between. What is none of them is compared in its turn, and bounds nothing. */
const LEADING_DIGITS = /^([0-9a-f]{8})-([0-9a-f]{4})-/
const OF_TOKENS = [
  { field: 'id', op: 'gte' as const, value: '00000000-' },
  { field: 'id', op: 'lte' as const, value: 'ffffffff-~' },
]

/** A random id between the first and the last id. Ids that this service makes begin with a time. */
async function somewhere(readModel: DocumentReader, random: () => number): Promise<string> {
  const ends = await Promise.all(
    [false, true].map((descending) =>
      readModel.find('tokens', { where: OF_TOKENS, order: { field: 'id', descending }, limit: 1 }),
    ),
  )
  const [low, high] = ends.map(([end]) => {
    const [, eight, four] = LEADING_DIGITS.exec(end?.id ?? '') ?? []
    return eight === undefined ? null : Number.parseInt(`${eight}${four}`, 16)
  })
  const [from, to] = [low ?? 0, high ?? 2 ** 48]
  const digits = Math.floor(from + random() * (to - from))
    .toString(16)
    .padStart(12, '0')
  return `${digits.slice(0, 8)}-${digits.slice(8)}`
}

interface Checked {
  documents: number
  differences: readonly DocumentDifference[]
  isMended: boolean
}

function report(telemetry: SampleTelemetry, { documents, differences, isMended }: Checked): void {
  telemetry.checked(documents)
  const differing = new Map(differences.map((one) => [`${one.collection}/${one.id}`, one]))
  telemetry.differed(differing.size)
  for (const { collection, id } of differing.values()) {
    const fields = { collection, id, ...(isMended && { mended: true }) }
    telemetry.log.error(fields, 'a document of the read model is not what its events say')
  }
}
