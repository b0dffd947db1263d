import type { Scalar } from '../ports/documents.ts'

/** The place of a document in an order: its value in the ordering field, and its id. */
export interface Key {
  value: Scalar
  id: string
}

/** Compares documents as a query with this order would, for documents that another query has read. */
export function compareBy({
  field,
  descending = false,
}: {
  field: string
  descending?: boolean
}): (a: Record<string, unknown>, b: Record<string, unknown>) => number {
  return (a, b) => {
    const [x, y] = [a, b].map((each) => (each[field] as Scalar | undefined) ?? null) as [Scalar, Scalar]
    if (x === null || y === null)
      return x === y ? compareScalars(String(a.id), String(b.id)) : x === null ? 1 : -1
    return compareScalars(x, y) * (descending ? -1 : 1) || compareScalars(String(a.id), String(b.id))
  }
}

/** Compares values as the stores do: null first, then numbers, then texts by their code points. */
export function compareScalars(a: Scalar, b: Scalar): number {
  if (typeof a === 'string' && typeof b === 'string') return compareTexts(a, b)
  if (typeof a === 'string' || typeof b === 'string') return typeof a === 'string' ? 1 : -1
  const [x, y] = [a, b].map((each) => (each === null ? Number.NEGATIVE_INFINITY : Number(each)))
  return x === y ? 0 : Number(x) - Number(y)
}

function compareTexts(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)]
    if (x !== y) return rank(x) - rank(y)
  }
  return a.length - b.length
}

/** A surrogate is half of a code point above U+FFFF, so it ranks behind every code point that has one unit. */
const rank = (unit: number): number => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit)
