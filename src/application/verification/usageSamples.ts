import { setImmediate as nextTurn } from 'node:timers/promises'
import { applyChange, present, type StoredDocument } from '../../../projections/change.ts'
import type { DocumentChange, Projection } from '../../../projections/projection.ts'
import { activityId } from '../../../projections/tokenActivity.ts'
import { usageId } from '../../../projections/tokenUsage.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { upcast } from '../../domain/upcast.ts'
import { type StoredEntry, storedEntries } from '../../domain/usageEntries.ts'
import { type DocumentDifference, differencesOf } from './differences.ts'
import { flawOf } from '../eventLog/eventCheck.ts'
import type { Condition, Document } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'

/** The uses of one token on one UTC day, which make about fifty documents. */
interface TokenDay {
  tokenId: string
  day: string
}

interface Sample extends TokenDay {
  /** What the events of this round add up to, by collection and id. */
  documents: Map<string, { collection: string; id: string; document: StoredDocument }>
  /** The read model records one of the events as refused, so that its documents cannot be compared. */
  isRefused: boolean
  /** How many events were folded. */
  events: number
}

/**
 * Some days of some tokens. They are picked at random from the events of one round through the log, folded in the next
 * round, and compared with the read model at its end, when all of their events have been seen.
 */
export interface UsageSamples {
  /** Takes the next event of the round. @param isRefused the read model records it as refused */
  take(event: StoredEvent, isRefused: boolean): void
  /** Compares the days that are over with the events of this round. To be called at the end of the log. */
  compare(today: string): Promise<ComparedDay[]>
  /** Begins the next round. */
  begin(): void
}

export interface ComparedDay {
  documents: number
  differences: DocumentDifference[]
  /** Is it true that no further event of this day has been taken since? */
  isCurrent(): boolean
}

interface Deps {
  readModel: DocumentReader
  projections: readonly Projection[]
  /** A random number from 0 to 1. */
  random: () => number
  /**
   * Retention may have taken events of days before this one, so their callers are not compared. Null: it takes none.
   */
  keptFrom: () => string | null
}

/** How many days are folded at the same time. Each takes some 50 KB. */
const SAMPLES = 40
/** Characters of a day, `2026-11-22`. */
const DAY = 10

export function createUsageSamples({ readModel, projections, random, keptFrom }: Deps): UsageSamples {
  let samples = new Map<string, Sample>()
  let [picked, seen]: [TokenDay[], number] = [[], 0]

  /** Reservoir sampling: each event of the round has the same chance. */
  function pick(one: TokenDay): void {
    const place = seen < SAMPLES ? seen : Math.floor(random() * (seen + 1))
    if (place < SAMPLES) picked[place] = one
    seen++
  }

  /** The changes that an event makes in documents of uses. */
  function changesOf(event: StoredEvent): DocumentChange[] {
    const read = event.metadata === null ? null : upcast(event)
    if (read?.kind !== 'event' || flawOf(read.event) !== null) return []
    const { event: recorded } = read
    return projections
      .filter(({ name, events }) => name !== 'tokens' && events.includes(recorded.type))
      .flatMap((projection) => projection.project(recorded))
  }

  function fold(sample: Sample, event: StoredEvent, isRefused: boolean): void {
    sample.events++
    if (isRefused) sample.isRefused = true
    for (const change of changesOf(event)) if (isOf(sample, change)) add(sample, change)
  }

  function add(sample: Sample, change: DocumentChange): void {
    const key = `${change.collection}/${change.id}`
    const known = sample.documents.get(key)
    const { collection, id } = change
    const entry = known ?? { collection, id, document: {} }
    applyChange(entry.document, change, !known)
    sample.documents.set(key, entry)
  }

  async function found({ tokenId, day }: Sample): Promise<Map<string, Document>> {
    const ofDay = (idAt: (at: string) => string): Condition[] => [
      { field: 'id', op: 'gte', value: idAt(day) },
      { field: 'id', op: 'lt', value: idAt(`${day}T~`) },
    ]
    const documents = new Map<string, Document>()
    const read = async (collection: string, where: Condition[]): Promise<void> => {
      for (const one of await readModel.find(collection, { where, limit: 50 }))
        documents.set(`${collection}/${one.id}`, one)
    }
    for (const granularity of ['hour', 'day'] as const)
      await read(
        'tokenUsage',
        ofDay((at) => usageId(tokenId, granularity, at)),
      )
    if (day >= (keptFrom() ?? ''))
      await read(
        'tokenActivity',
        ofDay((at) => activityId(tokenId, at)),
      )
    return documents
  }

  async function compareDay(sample: Sample): Promise<ComparedDay> {
    const { events } = sample
    const there = await found(sample)
    const expected = new Map(
      [...sample.documents]
        .filter(([, { collection }]) => collection !== 'tokenActivity' || sample.day >= (keptFrom() ?? ''))
        .map(([key, { id, document }]) => [key, present<Document>(id, document)]),
    )
    const keys = new Set([...expected.keys(), ...there.keys()])
    const differences = [...keys].flatMap((key) => {
      const [collection = ''] = key.split('/', 1)
      const id = key.slice(collection.length + 1)
      return differencesOf(collection, id, expected.get(key) ?? null, there.get(key) ?? null)
    })
    return { documents: keys.size, differences, isCurrent: () => sample.events === events }
  }

  return {
    take(event, isRefused) {
      const counted = new Set<Sample>()
      for (const one of tokenDaysOf(event)) {
        pick(one)
        const sample = samples.get(keyOf(one))
        if (sample) counted.add(sample)
      }
      for (const sample of counted) fold(sample, event, isRefused)
    },

    async compare(today) {
      const compared: ComparedDay[] = []
      for (const sample of samples.values()) {
        if (sample.day >= today || sample.isRefused) continue
        await nextTurn()
        compared.push(await compareDay(sample))
      }
      return compared
    },

    begin() {
      samples = new Map(
        picked.map((one) => [keyOf(one), { ...one, documents: new Map(), isRefused: false, events: 0 }]),
      )
      ;[picked, seen] = [[], 0]
    },
  }
}

const keyOf = ({ tokenId, day }: TokenDay): string => `${tokenId} ${day}`

/** The days of tokens that an event counts for. It reads no more than it needs, since nearly none belongs to a sample. */
function tokenDaysOf(event: StoredEvent): TokenDay[] {
  const counted = event.type === 'UsageRolledUp' ? [(event.data ?? {}) as StoredEntry] : storedEntries(event)
  return counted.flatMap(({ tokenId, firstAt, day }) => {
    const at = firstAt ?? day
    return typeof tokenId === 'string' && typeof at === 'string' ? [{ tokenId, day: at.slice(0, DAY) }] : []
  })
}

/** Is a change, of those of an event that counts for several tokens and days, one of this day of this token? */
function isOf({ tokenId, day }: TokenDay, change: DocumentChange): boolean {
  const { tokenId: of, at } =
    (change.kind === 'add' ? change.set : change.kind === 'total' && change.fields) || {}
  return of === tokenId && typeof at === 'string' && at.startsWith(day)
}
