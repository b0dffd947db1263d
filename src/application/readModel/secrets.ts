import type { Condition } from '../ports/documents.ts'

/** The conditions for the tokens that have one of these hashes, as the only secret or as either of two. */
export const bySecret = (hashes: readonly string[]): Condition[] => [
  {
    any: [
      { field: 'hash', op: 'in', value: hashes },
      { field: 'newerHash', op: 'in', value: hashes },
    ],
  },
]
