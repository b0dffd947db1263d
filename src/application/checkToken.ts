import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../projections/projection.ts'
import { DamagedError } from '../domain/errors.ts'
import type { LifecycleEvent } from '../domain/events.ts'
import { type Difference, differencesOf, look } from './differences.ts'
import { readTokenEvents } from './load.ts'
import type { Document, EventStore, ReadModel } from './ports.ts'

interface Deps {
  store: EventStore
  readModel: ReadModel
  projections: readonly Projection[]
  /** Applies events again. Default: nothing is mended. */
  apply?: (events: readonly LifecycleEvent[]) => Promise<void>
}

export interface CheckedToken {
  /** Compared. */
  documents: number
  differences: Difference[]
  /** Are they gone, since the events were applied again? */
  isMended: boolean
}

const LOOKS = 4
/** A longer history is not looked through for rows that are too many: that would keep others waiting. */
const MOST_ROWS = 500

/**
 * Holds the documents of one token's life to its events. What differs is read again with the events that have come
 * since, before it is believed; then the events are applied again, which brings back what is missing or old. What was
 * altered stays as it is: nobody is refused on the word of a comparison alone, and a rebuild mends it.
 */
export async function checkToken(
  deps: Deps,
  tokenId: string,
  signal: AbortSignal,
  againMs: number,
): Promise<CheckedToken> {
  for (let looks = 1; ; looks++) {
    const { events, ...compared } = await compareToken(deps, tokenId)
    const { differences } = compared
    if (differences.length === 0) return { ...compared, isMended: false }
    if (looks === LOOKS) return { ...compared, isMended: await mend(deps, tokenId, events) }
    await sleep(againMs, undefined, { signal })
  }
}

async function mend(deps: Deps, tokenId: string, events: readonly LifecycleEvent[]): Promise<boolean> {
  if (events.length === 0 || !deps.apply) return false
  try {
    await deps.apply(events)
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error
    return false
  }
  return (await compareToken(deps, tokenId)).differences.length === 0
}

interface Compared {
  events: LifecycleEvent[]
  documents: number
  differences: Difference[]
}

async function compareToken({ store, readModel, projections }: Deps, tokenId: string): Promise<Compared> {
  const { events: read } = await readTokenEvents(store, tokenId)
  const events = read.flatMap(({ known }) => known ?? [])
  const token = await look(readModel, 'tokens', tokenId)
  // Closed since something could not be applied: the documents are without it, and everybody was told.
  if (token !== null && token !== 'damaged' && token.stopped !== undefined)
    return { events, documents: 0, differences: [] }
  const expected = documentsOf(events, projections)
  const differences: Difference[] = []
  for (const { collection, document } of expected) {
    const found = await look(readModel, collection, document.id)
    differences.push(...differencesOf(collection, document.id, document, found, Object.keys(document)))
  }
  const surplus = await surplusOf(readModel, tokenId, expected)
  return {
    events,
    documents: expected.length + surplus.length,
    differences: [...differences, ...surplus.map((one) => tooMany(one.collection, one.id))],
  }
}

interface Expected {
  collection: string
  document: Document
}

interface Surplus {
  collection: string
  id: string
}

/** What no event has made: the token itself, where it is more than its last use, and rows of its history. */
async function surplusOf(
  readModel: ReadModel,
  tokenId: string,
  expected: readonly Expected[],
): Promise<Surplus[]> {
  const of = (collection: string) =>
    new Set(expected.filter((one) => one.collection === collection).map(({ document }) => document.id))
  const surplus: Surplus[] = []
  const token = of('tokens').has(tokenId) ? null : await look(readModel, 'tokens', tokenId)
  if (token === 'damaged' || token?.hash !== undefined) surplus.push({ collection: 'tokens', id: tokenId })
  const known = of('tokenHistory')
  if (known.size > MOST_ROWS) return surplus
  const where = [{ field: 'tokenId', op: 'eq' as const, value: tokenId }]
  const rows = await readModel.find('tokenHistory', {
    where,
    order: { field: 'revision' },
    limit: known.size + 1,
  })
  for (const { id } of rows) if (!known.has(id)) surplus.push({ collection: 'tokenHistory', id })
  return surplus
}

const tooMany = (collection: string, id: string): Difference => ({
  collection,
  id,
  field: null,
  expected: 'none',
  found: 'a document',
})

/** What one token's own events say of documents; counters are of other streams. */
function documentsOf(events: readonly LifecycleEvent[], projections: readonly Projection[]): Expected[] {
  const documents = new Map<string, Expected>()
  for (const event of events) {
    for (const projection of projections) {
      if (!projection.events.includes(event.type)) continue
      for (const change of projection.project(event)) {
        if (change.kind !== 'put' && change.kind !== 'insert') continue
        const { collection, id, fields } = change
        const key = `${collection}/${id}`
        const known = documents.get(key) ?? { collection, document: { id } }
        documents.set(key, known)
        if (change.kind === 'put' || Object.keys(known.document).length === 1) {
          Object.assign(known.document, fields)
        }
      }
    }
  }
  return [...documents.values()]
}
