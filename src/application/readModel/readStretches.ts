import { DamagedError } from '../../domain/errors.ts'
import type { Document, Scalar } from '../ports/documents.ts'
import { compareScalars, type Key } from './order.ts'
import type { Plan } from './queryPlan.ts'
import { restOf, type Stretch, stretchesOf } from './stretches.ts'

/** What was read of a stretch. */
export interface Read {
  documents: Document[]
  /** The last document that was looked at; null if the stretch ends here. */
  last: Key | null
}

/**
 * Reads stretch after stretch until the page is full.
 * @param read reads some of a stretch from its start on, and gives at most as many documents as it is asked for;
 *   `turn` counts how often it was called before
 * @throws DamagedError if the index goes back, so that reading would never end
 */
export async function readPage(
  plan: Plan,
  { after = null, limit }: { after?: Key | null; limit: number },
  read: (stretch: Stretch, atMost: number, turn: number) => Promise<Read>,
): Promise<Document[]> {
  const found = new Map<string, Document>()
  let left = stretchesOf(plan, after)
  const before: Record<Stretch['by'], Key | null> = { field: null, id: null }
  for (let [stretch, turn] = [left[0], 0]; stretch && found.size < limit; stretch = left[0]) {
    const isBackward = stretch.by === 'field' && stretch.descending
    const { documents, last } = await read(stretch, limit - found.size + (isBackward ? 1 : 0), turn++)
    for (const document of isBackward ? tiesById(plan, documents, last) : documents) {
      found.set(document.id, document)
    }
    if (last && !leadsOn(stretch, before[stretch.by], last))
      throw new DamagedError('an index is damaged: it does not lead on')
    before[stretch.by] = last ?? before[stretch.by]
    if (stretch.by === 'field' || !last) before.id = null
    left = [...(last ? restOf(stretch, last) : []), ...left.slice(1)]
  }
  return [...found.values()].slice(0, limit)
}

export interface Counted {
  count: number
  /** The last document that was counted; null if the stretch ends here, or no more were asked for. */
  last: Key | null
}

/** Counts stretch after stretch. @param count counts some of a stretch from its start on, up to `atMost` */
export async function countAll(
  plan: Plan,
  limit: number,
  count: (stretch: Stretch, atMost: number) => Promise<Counted>,
): Promise<number> {
  let total = 0
  let left = stretchesOf(plan, null)
  for (let [stretch] = left; stretch && total < limit; [stretch] = left) {
    const { count: some, last } = await count(stretch, limit - total)
    total += some
    left = [...(last ? restOf(stretch, last) : []), ...left.slice(1)]
  }
  return total
}

/**
 * Reading an index backwards gives ids in descending order, but documents with equal values must come in ascending
 * order of id. Documents with the last value may be incomplete, so they are dropped here and read again.
 */
function tiesById({ field }: Plan, documents: readonly Document[], last: Key | null): Document[] {
  const valueOf = (document: Document): Scalar => (document[field ?? 'id'] as Scalar | undefined) ?? null
  const whole = documents.filter((document) => last === null || valueOf(document) !== last.value)
  return whole.sort((a, b) => compareScalars(valueOf(b), valueOf(a)) || compareScalars(a.id, b.id))
}

/** Is `last` behind `before`? Reading would never end in a damaged index that leads back. */
function leadsOn({ by, descending }: Stretch, before: Key | null, last: Key): boolean {
  if (!before) return true
  const values = by === 'id' ? 0 : compareScalars(last.value, before.value)
  const order = values || compareScalars(last.id, before.id)
  return descending ? order < 0 : order > 0
}
