import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../../projections/projection.ts'
import { DamagedError } from '../../domain/errors.ts'
import { type DocumentDifference, differencesOf, type FoundDocument, look } from './differences.ts'
import { createFiller, type FillDeps, type Filler } from '../projection/filler.ts'
import type { Document } from '../ports/documents.ts'
import type { DocumentReader, ProjectionTarget } from '../ports/readModel.ts'
import { type Refused, refusedIn } from '../projection/refusals.ts'
import { lowestCheckpoint } from '../readModel/checkpoints.ts'

export interface Comparison {
  /** Up to which event the documents of each projection were compared, at least; null if it has none yet. */
  checkpoints: { projection: Projection; checkpoint: string | null }[]
  /** How many documents were compared, including surplus ones that should not exist. */
  documents: number
  /** How many are not what the events say. */
  differing: number
  /** Ordered by collection and id; only those of the first documents that differ. */
  differences: DocumentDifference[]
  /** Events that the read model itself records as refused: their number, and the first of them. */
  refused: Refused
}

export interface CompareDeps extends FillDeps {
  readModel: DocumentReader & Pick<ProjectionTarget, 'checkpoint'>
  /** A read model filled from the same log for this comparison only. It is filled on as the live one moves on. */
  scratch: DocumentReader & ProjectionTarget
  projections: readonly Projection[]
  /** Retention may have taken events from before this time, so older documents that outlive events are not compared. */
  keptFrom: string | null
}

interface DifferingDocument {
  projection: Projection
  collection: string
  id: string
}

const PAGE = 500
/** Sorts behind every time. */
const NEVER = '~'
/**
 * At most this many are checked again. More differences cannot be explained by a read model that is still catching up.
 */
const MOST_CHECKED_AGAIN = 10_000
const MOST_DIFFERENCES = 50
/** How often they are checked again, with a pause in between. */
const ATTEMPTS = 12
const PAUSE_MS = 250
/** If the read model has not caught up with the log after this time, no service is filling it. */
const PATIENCE_MS = 3_000

/**
 * Compares the read model with what the events say, document by document. It may run beside a live service: what
 * differs is checked again with the events that have come since, so that a change on its way is not reported.
 * @param onProgress gets the number of documents compared so far
 * @throws StoreUnavailableError; DamagedError for a damaged document behind all that should exist
 */
export async function compare(
  deps: CompareDeps,
  onProgress: (documents: number) => void = () => {},
): Promise<Comparison> {
  const { readModel, scratch, projections, keptFrom } = deps
  const filler = await createFiller(deps, scratch, projections, { signal: new AbortController().signal })
  let [documents, beyond] = [0, 0]
  const suspects: DifferingDocument[] = []

  const checkpoints = await byCheckpoint(readModel, projections)
  for (const { projection, checkpoint } of checkpoints) {
    // Events behind the checkpoint of the read model are not expected in it: they would be lag, not a difference.
    if (checkpoint !== null) await filler.fill(checkpoint)
    for (const { name: collection, outlivesEvents } of projection.collections) {
      for await (const pair of pairs(scratch, readModel, collection)) {
        if (keptFrom !== null && timeOf(pair, outlivesEvents) < keptFrom) continue
        onProgress(++documents)
        if (differencesOf(collection, pair.id, pair.expected, pair.found).length === 0) continue
        if (suspects.length < MOST_CHECKED_AGAIN) suspects.push({ projection, collection, id: pair.id })
        else beyond++
      }
    }
  }

  const left = await settle(deps, filler, suspects)
  const differences: DocumentDifference[] = []
  let differing = beyond
  for (const { differences: some } of left) {
    differing++
    if (differing - beyond <= MOST_DIFFERENCES) differences.push(...some)
  }
  const refused = await refusedIn(readModel, MOST_DIFFERENCES)
  return { checkpoints, documents, differing, differences, refused }
}

/** The time of a document, if it has one. Documents without a time are always compared. */
function timeOf({ expected, found }: Pair, member: string | undefined): string {
  const document = found === null || found === 'damaged' ? expected : found
  const at = member === undefined ? undefined : document?.[member]
  return typeof at === 'string' ? at : NEVER
}

async function byCheckpoint(
  readModel: Pick<ProjectionTarget, 'checkpoint'>,
  projections: readonly Projection[],
) {
  const found = await Promise.all(
    projections.map(async (projection) => ({
      projection,
      checkpoint: (await readModel.checkpoint(projection))?.position ?? null,
    })),
  )
  return found.sort((a, b) => ((a.checkpoint ?? '') < (b.checkpoint ?? '') ? -1 : 1))
}

// --- What differed at first, looked at again ----------------------------------------------------------------------

/** @returns those that differ every time they are checked */
async function settle(
  { readModel, scratch }: CompareDeps,
  filler: Filler,
  suspects: readonly DifferingDocument[],
): Promise<{ differences: DocumentDifference[] }[]> {
  let isFollowed = true

  /** Waits until the read model has come as far as the events that are compared with. */
  async function reached(projection: Projection, position: string | null): Promise<void> {
    const giveUpAt = performance.now() + PATIENCE_MS
    while (isFollowed && ((await readModel.checkpoint(projection))?.position ?? '') < (position ?? '')) {
      if (performance.now() > giveUpAt) isFollowed = false
      await sleep(PAUSE_MS / 10)
    }
  }

  let left = suspects.map((suspect) => ({ ...suspect, differences: [] as DocumentDifference[] }))
  for (let attempt = 1; attempt <= ATTEMPTS && left.length > 0; attempt++) {
    const position = lowestCheckpoint(await filler.fill())?.position ?? null
    for (const projection of new Set(left.map((one) => one.projection))) await reached(projection, position)
    const still: typeof left = []
    for (const { projection, collection, id } of left) {
      const [expected, found] = [await scratch.get(collection, id), await look(readModel, collection, id)]
      const differences = differencesOf(collection, id, expected, found)
      if (differences.length > 0) still.push({ projection, collection, id, differences })
    }
    left = still
    if (left.length > 0 && attempt < ATTEMPTS) await sleep(PAUSE_MS)
  }
  return left
}

// --- Both side by side ---------------------------------------------------------------------------------------------

interface Pair {
  id: string
  expected: Document | null
  found: FoundDocument
}

/** All documents of a collection of both, in the order of their ids; a page of each is in memory. */
async function* pairs(
  scratch: DocumentReader,
  readModel: DocumentReader,
  collection: string,
): AsyncGenerator<Pair> {
  const expected = createReader(scratch, collection)
  const found = createReader(readModel, collection)
  for (;;) {
    const left = await expected.peek()
    const right = await found.peek().catch((error: unknown) => {
      if (left && error instanceof DamagedError) return 'damaged' as const
      throw error
    })
    if (right === 'damaged') {
      // The error does not say which document is damaged, so those that are expected next are read one by one.
      for (const document of await expected.page()) {
        yield { id: document.id, expected: document, found: await look(readModel, collection, document.id) }
        found.skipTo(document.id)
      }
      continue
    }
    if (!left && !right) return
    const order = !left ? 1 : !right ? -1 : compareIds(left.id, right.id)
    const id = (order <= 0 ? left : right)?.id ?? ''
    yield { id, expected: order <= 0 ? left : null, found: order >= 0 ? right : null }
    if (order <= 0) expected.take()
    if (order >= 0) found.take()
  }
}

/** Compares ids as the stores order them: by their bytes. */
const compareIds = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

function createReader(readModel: DocumentReader, collection: string) {
  let page: Document[] = []
  let [last, ended]: [string | null, boolean] = [null, false]

  async function load(): Promise<void> {
    if (page.length > 0 || ended) return
    const after = last === null ? {} : { after: { value: null, id: last } }
    page = await readModel.find(collection, { where: [], limit: PAGE, ...after })
    ended = page.length < PAGE
  }

  return {
    async peek(): Promise<Document | null> {
      await load()
      return page[0] ?? null
    },
    take(): void {
      last = page.shift()?.id ?? last
    },
    /** Takes all that is left of the page. */
    async page(): Promise<Document[]> {
      await load()
      const taken = page
      page = []
      last = taken.at(-1)?.id ?? last
      return taken
    },
    skipTo(id: string): void {
      page = []
      last = id
    },
  }
}
