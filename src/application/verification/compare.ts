import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../../projections/projection.ts'
import { DamagedError } from '../../domain/errors.ts'
import { type DocumentDifference, differencesOf, type FoundDocument, look } from './differences.ts'
import { createFiller, type FillDeps, type Filler } from '../projection/filler.ts'
import type { Document } from '../ports/documents.ts'
import type { ReadModel } from '../ports/readModel.ts'
import { type Refused, refusedIn } from '../projection/refusals.ts'
import { lowestCheckpoint } from '../readModel/standing.ts'

export interface Comparison {
  /** Compared, those that are there but should not be included. */
  documents: number
  /** That are not what the events say. */
  differing: number
  /** In the order of collections and ids, of the first documents that differ only. */
  differences: DocumentDifference[]
  /** Events that the read model is without and says so, the first of them. */
  refused: Refused
}

export interface CompareDeps extends FillDeps {
  readModel: ReadModel
  /** An own one, filled from the same log for this alone: it is followed up as the other one moves on. */
  scratch: ReadModel
  projections: readonly Projection[]
  /** Before this time retention may have taken events: documents that outlive them are not compared. Null: none. */
  keptFrom: string | null
}

interface DifferingDocument {
  projection: Projection
  collection: string
  id: string
}

const PAGE = 500
/** Later than any time. */
const NEVER = '~'
/** As many are looked at again; more than these have not come about by a read model that moves on. */
const MOST_CANDIDATES = 10_000
const MOST_DIFFERENCES = 50
const ATTEMPTS = 12
const PAUSE_MS = 250
/** For so long the read model may take to come level with the log: then nobody follows it. */
const PATIENCE_MS = 3_000

/**
 * Compares the read model with what the events say, document by document. Beside a live service too: what differs is
 * looked at again with the events that have come since, so that nothing is reported which was only on its way.
 * @param onProgress documents compared so far
 * @throws StoreUnavailableError; DamagedError for a document that is damaged and that should not be there either
 */
export async function compare(
  deps: CompareDeps,
  onProgress: (documents: number) => void = () => {},
): Promise<Comparison> {
  const { readModel, scratch, projections, keptFrom } = deps
  const filler = await createFiller(deps, scratch, projections, { signal: new AbortController().signal })
  let [documents, beyond] = [0, 0]
  const candidates: DifferingDocument[] = []

  for (const { projection, checkpoint } of await byCheckpoint(readModel, projections)) {
    // Beyond its checkpoint a read model need not be: that would be lag, not a difference.
    if (checkpoint !== null) await filler.fill(checkpoint)
    for (const { name: collection, outlivesEvents } of projection.collections) {
      for await (const pair of pairs(scratch, readModel, collection)) {
        if (keptFrom !== null && timeOf(pair, outlivesEvents) < keptFrom) continue
        onProgress(++documents)
        if (differencesOf(collection, pair.id, pair.expected, pair.found).length === 0) continue
        if (candidates.length < MOST_CANDIDATES) candidates.push({ projection, collection, id: pair.id })
        else beyond++
      }
    }
  }

  const left = await settle(deps, filler, candidates)
  const differences: DocumentDifference[] = []
  let differing = beyond
  for (const { differences: some } of left) {
    differing++
    if (differing - beyond <= MOST_DIFFERENCES) differences.push(...some)
  }
  return { documents, differing, differences, refused: await refusedIn(readModel, MOST_DIFFERENCES) }
}

/** Null and damaged documents tell no time: they are compared. */
function timeOf({ expected, found }: Pair, member: string | undefined): string {
  const document = found === null || found === 'damaged' ? expected : found
  const at = member === undefined ? undefined : document?.[member]
  return typeof at === 'string' ? at : NEVER
}

async function byCheckpoint(readModel: ReadModel, projections: readonly Projection[]) {
  const found = await Promise.all(
    projections.map(async (projection) => ({
      projection,
      checkpoint: (await readModel.checkpoint(projection))?.position ?? null,
    })),
  )
  return found.sort((a, b) => ((a.checkpoint ?? '') < (b.checkpoint ?? '') ? -1 : 1))
}

// --- What differed at first, looked at again ----------------------------------------------------------------------

/** @returns those that differ whenever they are looked at */
async function settle(
  { readModel, scratch }: CompareDeps,
  filler: Filler,
  candidates: readonly DifferingDocument[],
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

  let left = candidates.map((candidate) => ({ ...candidate, differences: [] as DocumentDifference[] }))
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
async function* pairs(scratch: ReadModel, readModel: ReadModel, collection: string): AsyncGenerator<Pair> {
  const expected = createReader(scratch, collection)
  const found = createReader(readModel, collection)
  for (;;) {
    const left = await expected.peek()
    const right = await found.peek().catch((error: unknown) => {
      if (left && error instanceof DamagedError) return 'damaged' as const
      throw error
    })
    if (right === 'damaged') {
      // It does not say which one it is: they are asked for one by one, as far as the next page goes.
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

/** As the stores order them: by their bytes. */
const compareIds = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

function createReader(readModel: ReadModel, collection: string) {
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
    /** All that is left of the page, taken. */
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
