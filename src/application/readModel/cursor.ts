import { Refusal } from '../../domain/errors.ts'
import type { Scalar } from '../ports/documents.ts'

/** Where a page ended. Callers do not look into it: they send back what they were given. */
export interface Cursor {
  /** Names the list and the order that it belongs to. */
  of: string
  value: Scalar
  id: string
}

export const encodeCursor = ({ of, value, id }: Cursor): string =>
  Buffer.from(JSON.stringify([of, value, id])).toString('base64url')

/** @throws Refusal for text that is not a cursor of this list and order */
export function decodeCursor(of: string, text: string): { value: Scalar; id: string } {
  const [list, value, id] = parse(text)
  const isScalar = value === null || typeof value === 'string' || typeof value === 'number'
  if (list !== of || !isScalar || typeof id !== 'string') {
    throw new Refusal('validation_failed', 'The query is not valid.', [
      { path: ['cursor'], message: 'must come from a page with the same query' },
    ])
  }
  return { value, id }
}

/** In characters. The longest value in a cursor is a name: 100 characters of four bytes each, all of them escaped. */
const MAX_CURSOR = 2048

function parse(text: string): unknown[] {
  if (text.length > MAX_CURSOR) return []
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
    return Array.isArray(value) ? value : []
  } catch {
    return []
  }
}
