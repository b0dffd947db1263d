import { setTimeout as sleep } from 'node:timers/promises'
import type { DocumentChange, Projection } from '../../../projections/projection.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { createAccounts } from '../eventLog/accounts.ts'
import { createChanges } from '../projection/changes.ts'
import { type DocumentDifference, differencesOf, look } from './differences.ts'
import { tokenEvents } from '../eventLog/tokenStream.ts'
import { tokenStream } from '../../domain/streams.ts'
import type { Document } from '../ports/documents.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { DocumentReader } from '../ports/readModel.ts'

interface Deps {
  store: EventStore
  readModel: DocumentReader
  projections: readonly Projection[]
  /** Applies events again, to mend documents. Default: nothing is mended. */
  apply?: (events: readonly StoredEvent[]) => Promise<void>
}

export interface CheckedToken {
  /** How many documents were compared. */
  documents: number
  differences: DocumentDifference[]
  /** Have the differences gone, because the events were applied again? */
  isMended: boolean
}

/** A difference is believed only after so many looks. */
const LOOKS = 4
/** A history with more rows is not searched for surplus rows, since others would have to wait for that. */
const MOST_ROWS = 500

/**
 * Compares the documents of one token's life with its events. A difference is believed only when it is still there
 * after several looks, each with the events that have come since, and if none has come while the last one was taken. Then the events are applied again, which restores
 * what is missing or old. Documents that were altered stay as they are: a comparison alone is no reason to refuse a
 * token, and a rebuild mends them.
 */
export async function checkToken(
  deps: Deps,
  tokenId: string,
  signal: AbortSignal,
  againMs: number,
): Promise<CheckedToken> {
  for (let looks = 1; ; looks++) {
    const compared = await compareToken(deps, tokenId, signal)
    if (compared.differences.length === 0) return { ...compared, isMended: false }
    if (looks === LOOKS) return believed(deps, tokenId, compared, signal)
    await sleep(againMs, undefined, { signal })
  }
}

/** A token that changes all the time is compared in its next turn. */
async function believed(
  deps: Deps,
  tokenId: string,
  { documents, differences, revision }: Compared,
  signal: AbortSignal,
): Promise<CheckedToken> {
  const later = await deps.store.readStream(tokenStream(tokenId), revision + 1, 1)
  if (later.length > 0) return { documents, differences: [], isMended: false }
  return { documents, differences, isMended: await mend(deps, tokenId, signal) }
}

async function mend(deps: Deps, tokenId: string, signal: AbortSignal): Promise<boolean> {
  if (!deps.apply) return false
  let isEmpty = true
  try {
    for await (const events of eventsOf(deps, tokenId)) {
      await deps.apply(events)
      isEmpty = false
    }
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error
    return false
  }
  return !isEmpty && (await compareToken(deps, tokenId, signal)).differences.length === 0
}

/** The events as they are stored: in a newer version they would no longer follow from one another. */
async function* eventsOf({ store }: Pick<Deps, 'store'>, tokenId: string): AsyncGenerator<StoredEvent[]> {
  for await (const events of tokenEvents(store, tokenId)) yield events.map(({ stored }) => stored)
}

type Compared = Omit<CheckedToken, 'isMended'> & {
  /** Of the last event that was read; -1 if there is none. */
  revision: number
}

/**
 * A stream may be long, so only a page of its events is in memory, and the event loop is given to others in between.
 */
async function compareToken(deps: Deps, tokenId: string, signal: AbortSignal): Promise<Compared> {
  const { readModel, projections } = deps
  const token = await look(readModel, 'tokens', tokenId)
  // The token is closed since an event could not be applied. Its documents lack that event, which was reported then.
  if (token !== null && token !== 'damaged' && token.stopped !== undefined)
    return { documents: 0, differences: [], revision: -1 }
  const compared: Compared = { documents: 0, differences: [], revision: -1 }
  const changesOf = createChanges(projections, SILENT)
  const withAccounts = createAccounts(deps.store)
  /** Documents that later events add to. */
  const growing = new Map<string, Expected>()
  /** Ids of the expected rows of the history, up to one more than `MOST_ROWS`. */
  const rows = new Set<string>()

  async function compare({ collection, document }: Expected): Promise<void> {
    const found = await look(readModel, collection, document.id)
    compared.documents++
    compared.differences.push(
      ...differencesOf(collection, document.id, document, found, Object.keys(document)),
    )
  }

  for await (const events of tokenEvents(deps.store, tokenId)) {
    signal.throwIfAborted()
    const stored = await withAccounts(events.map((event) => event.stored))
    compared.revision = stored.at(-1)?.revision ?? compared.revision
    const { changes } = changesOf(
      stored,
      stored.map(() => null),
    )
    for (const complete of expectedOf(changes, growing)) {
      const isRow = complete.collection === 'tokenHistory'
      if (isRow && rows.size <= MOST_ROWS) rows.add(complete.document.id)
      await compare(complete)
    }
  }
  for (const document of growing.values()) await compare(document)
  const surplus = await surplusOf(readModel, tokenId, { isKnown: growing.size > 0, rows })
  compared.documents += surplus.length
  compared.differences.push(...surplus)
  return compared
}

interface Expected {
  collection: string
  document: Document
}

/** Documents that no event has made: rows of the history, and the token itself unless it has nothing but a last use. */
async function surplusOf(
  readModel: DocumentReader,
  tokenId: string,
  { isKnown, rows }: { isKnown: boolean; rows: ReadonlySet<string> },
): Promise<DocumentDifference[]> {
  const surplus: DocumentDifference[] = []
  const token = isKnown ? null : await look(readModel, 'tokens', tokenId)
  if (token === 'damaged' || token?.hash !== undefined) surplus.push(surplusDocument('tokens', tokenId))
  if (rows.size > MOST_ROWS) return surplus
  const where = [{ field: 'tokenId', op: 'eq' as const, value: tokenId }]
  const limit = rows.size + 1
  const found = await readModel.find('tokenHistory', { where, order: { field: 'revision' }, limit })
  for (const { id } of found) if (!rows.has(id)) surplus.push(surplusDocument('tokenHistory', id))
  return surplus
}

const surplusDocument = (collection: string, id: string): DocumentDifference => ({
  collection,
  id,
  field: null,
  expected: 'none',
  found: 'a document',
})

/**
 * The documents that a token's own events lead to. Counters are left out, since they come from other streams.
 * @param growing gets the documents that later events may still add to
 * @returns the documents that are complete
 */
function expectedOf(changes: readonly DocumentChange[], growing: Map<string, Expected>): Expected[] {
  const complete: Expected[] = []
  for (const change of changes) {
    if (change.kind !== 'insert' && change.kind !== 'put') continue
    const { collection, id, fields } = change
    const key = `${collection}/${id}`
    const known = growing.get(key) ?? { collection, document: { id } }
    Object.assign(known.document, fields)
    if (change.kind === 'insert') complete.push(known)
    else growing.set(key, known)
  }
  return complete
}

/** Nothing is reported here: the projector has reported it already. */
const SILENT = { damaged() {}, log: { debug() {}, info() {}, warn() {}, error() {} } }
