import { reasonInput } from './inputs.ts'
import { arrayOf, count, nullableTime, object } from './parts.ts'
import { listQuery, status } from './schemas.ts'

/** Schemas of what operators ask, and of the answers. */

export const allTokensQuery = object(
  {
    ...listQuery.properties,
    account: { type: 'string', minLength: 1, maxLength: 255, description: 'Only tokens of this account.' },
    hint: {
      type: 'string',
      maxLength: 21,
      pattern: '^([a-z][a-z0-9]{1,15}_)?…([0-9A-Za-z]{4})?$',
      description: 'Only tokens with this hint, as the resource shows it.',
    },
  },
  [...(Object.keys(listQuery.properties) as (keyof typeof listQuery.properties)[]), 'account', 'hint'],
)

/** The largest length of a secret, in characters: imported ones may have any form. */
const MAX_SECRET = 512
const many = { type: 'array', minItems: 1, maxItems: 1_000 } as const

export const revocationsBody = object(
  {
    account_id: { type: 'string', minLength: 1, maxLength: 255 },
    ids: { ...many, items: { type: 'string', maxLength: 64 } },
    credentials: {
      ...many,
      items: { type: 'string', minLength: 1, maxLength: MAX_SECRET },
      description: 'Exactly one of `account_id`, `ids` and `credentials` says which.',
    },
    reason: reasonInput,
    dry_run: { type: 'boolean', default: false, description: 'Only says what would go.' },
  },
  ['account_id', 'ids', 'credentials', 'dry_run'],
)

const text = { type: ['string', 'null'] } as const

export const revocations = object({
  data: arrayOf(
    object({
      index: { ...count, description: 'The place in the input, or in the list of the account.' },
      id: text,
      account_id: text,
      hint: text,
      found: { type: 'boolean' },
      status: { ...status, enum: [...status.enum, null], description: 'As it was before.' },
      last_accessed: nullableTime,
      revoked: { type: 'boolean', description: 'Was it revoked by this request?' },
      why: {
        enum: [
          null,
          'not_found',
          'already_revoked',
          'dry_run',
          'secret_retired',
          'store_unavailable',
          'token_damaged',
          'conflict',
        ],
        description: 'Why it was not revoked.',
      },
    }),
  ),
  remaining: { ...count, description: 'Tokens of the account that are left: send the request again.' },
})
