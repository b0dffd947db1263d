import type { DocumentChange, Top } from './projection.ts'

export type AddChange = Extract<DocumentChange, { kind: 'add' }>

/**
 * The changes of one event, joined so that each document gets one of them. A document takes an `add` at each position
 * only once, so it would ignore the second one.
 */
export function joined(changes: readonly AddChange[]): AddChange[] {
  const byDocument = new Map<string, AddChange>()
  for (const change of changes) {
    const key = `${change.collection}/${change.id}`
    const before = byDocument.get(key)
    byDocument.set(key, before ? join(before, change) : change)
  }
  return [...byDocument.values()]
}

const join = (a: AddChange, b: AddChange): AddChange => ({
  ...a,
  ...(b.sum && { sum: merged(a.sum, b.sum, (x, y) => x + y) }),
  ...(b.min && { min: merged(a.min, b.min, (x, y) => (y < x ? y : x)) }),
  ...(b.max && { max: merged(a.max, b.max, (x, y) => (y > x ? y : x)) }),
  ...(b.top && { top: b.top.map((top) => withCounts(a.top, top)) }),
})

function merged<T>(
  a: Readonly<Record<string, T>> | undefined,
  b: Readonly<Record<string, T>>,
  choose: (x: T, y: T) => T,
): Record<string, T> {
  const both: Record<string, T> = { ...a }
  for (const path of Object.keys(b)) {
    const [before, value] = [both[path], b[path] as T]
    both[path] = before === undefined ? value : choose(before, value)
  }
  return both
}

/** In order, since the first keys that come are kept by name. */
const withCounts = (tops: readonly Top[] | undefined, top: Top): Top => ({
  ...top,
  counts: [...(tops?.find(({ field }) => field === top.field)?.counts ?? []), ...top.counts],
})
