import { DamagedError } from '../../domain/errors.ts'
import type { Document, Scalar } from '../ports/documents.ts'
import { compareScalars, type Key } from './order.ts'
import type { Plan } from './queryPlan.ts'
import { restOf, type Stretch, stretchesOf } from './stretches.ts'

export interface Read {
  documents: Document[]
  /** The last one that was looked at; null: the stretch ends there. */
  last: Key | null
}

/**
 * Reads stretch after stretch until the page is full.
 * @param read some of a stretch from its start on, no more documents than it is asked for
 * @throws DamagedError the index does not lead on
 */
export async function readPage(
  plan: Plan,
  { after = null, limit }: { after?: Key | null; limit: number },
  read: (stretch: Stretch, atMost: number) => Promise<Read>,
): Promise<Document[]> {
  const found = new Map<string, Document>()
  let left = stretchesOf(plan, after)
  const before: Record<Stretch['by'], Key | null> = { field: null, id: null }
  for (let [stretch] = left; stretch && found.size < limit; [stretch] = left) {
    const isBackward = stretch.by === 'field' && stretch.descending
    const { documents, last } = await read(stretch, limit - found.size + (isBackward ? 1 : 0))
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
  /** The last one that was counted; null: the stretch ends there, or no more are asked for. */
  last: Key | null
}

/** Counts stretch after stretch. @param count some of a stretch from its start on, as far as it is asked to */
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

/** Back in an index ids go back as well, but ties are by id ascending: those of the last value are left to be read anew. */
function tiesById({ field }: Plan, documents: readonly Document[], last: Key | null): Document[] {
  const valueOf = (document: Document): Scalar => (document[field ?? 'id'] as Scalar | undefined) ?? null
  const whole = documents.filter((document) => last === null || valueOf(document) !== last.value)
  return whole.sort((a, b) => compareScalars(valueOf(b), valueOf(a)) || compareScalars(a.id, b.id))
}

/** An index in which it goes back would be read for ever. */
function leadsOn({ by, descending }: Stretch, before: Key | null, last: Key): boolean {
  if (!before) return true
  const values = by === 'id' ? 0 : compareScalars(last.value, before.value)
  const order = values || compareScalars(last.id, before.id)
  return descending ? order < 0 : order > 0
}
