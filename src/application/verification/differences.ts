import { canonical } from '../../domain/chain.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { Document } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'

/** Where a document is not what the events say. */
export interface DocumentDifference {
  collection: string
  id: string
  /** Null where the whole document is surplus, missing or damaged. */
  field: string | null
  expected: unknown
  found: unknown
}

/** A document of the read model; null if there is none, `damaged` if it could not be read. */
export type FoundDocument = Document | null | 'damaged'

const NOT_SHOWN = '(not shown)'
/** Values that are not shown: hashes mean nothing to people, and should not stay in a terminal's scrollback. */
const HIDDEN: ReadonlySet<string> = new Set(['hash', 'chain'])

const isEqual = (a: unknown, b: unknown): boolean => canonical(a ?? null) === canonical(b ?? null)

/** Compares a document with the expected one. @param fields the fields to compare. Default: all */
export function differencesOf(
  collection: string,
  id: string,
  expected: Document | null,
  found: FoundDocument,
  fields?: readonly string[],
): DocumentDifference[] {
  const whole = (values: { expected: unknown; found: unknown }): DocumentDifference[] => [
    { collection, id, field: null, ...values },
  ]
  if (found === 'damaged') return whole({ expected: 'a document', found: 'a damaged document' })
  if (expected === null && found === null) return []
  if (found === null) return whole({ expected: 'a document', found: 'none' })
  if (expected === null) return whole({ expected: 'none', found: 'a document' })
  const compared = fields ?? [...new Set([...Object.keys(expected), ...Object.keys(found)])].sort()
  return compared
    .filter((field) => !isEqual(expected[field], found[field]))
    .map((field) => {
      const shown = (document: Document): unknown =>
        HIDDEN.has(field) ? NOT_SHOWN : (document[field] ?? null)
      return { collection, id, field, expected: shown(expected), found: shown(found) }
    })
}

export async function look(
  readModel: DocumentReader,
  collection: string,
  id: string,
): Promise<FoundDocument> {
  try {
    return await readModel.get(collection, id)
  } catch (error) {
    if (error instanceof DamagedError) return 'damaged'
    throw error
  }
}
