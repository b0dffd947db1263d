import type { FromSchema } from 'json-schema-to-ts'
import type { RetiredEntry } from '../src/domain/usageEntries.ts'
import { type AddChange, joined } from './joined.ts'
import { number, string } from './members.ts'
import type { Projection } from './projection.ts'
import { bucketStart } from './tokenUsage.ts'

const schema = {
  type: 'object',
  additionalProperties: false,
  required: ['id', 'tokenId', 'accountId', 'at', 'requests', 'firstAt', 'lastAt'],
  properties: {
    id: string,
    tokenId: string,
    accountId: string,
    // Start of the day.
    at: string,
    requests: number,
    firstAt: string,
    lastAt: string,
  },
} as const

/** How often secrets that a token had until a rotation were sent on one day (UTC). Such requests are refused. */
export type RetiredUsesDocument = FromSchema<typeof schema>

/** @param at the start of a day; any time will do as the limit of a range of ids */
export const retiredUsesId = (tokenId: string, at: string): string => `${tokenId}_${at}`

export const retiredSecretUses: Projection = {
  name: 'retiredSecretUses',
  version: 1,
  events: ['RetiredSecretsUsed'],
  collections: [
    {
      name: 'retiredSecretUses',
      schema,
      outlivesEvents: 'at',
      // Documents of one token are found by their ids, which sort by token and day.
      indexes: [{ fields: ['accountId', 'at'] }, { fields: ['at'] }],
    },
  ],
  project(event) {
    if (event.type !== 'RetiredSecretsUsed') return []
    return joined(event.data.entries.map((entry) => day(entry, event.position)))
  },
}

function day({ tokenId, accountId, count, firstAt, lastAt }: RetiredEntry, position: string): AddChange {
  const at = bucketStart(firstAt, 'day')
  return {
    kind: 'add',
    collection: 'retiredSecretUses',
    id: retiredUsesId(tokenId, at),
    position,
    set: { tokenId, accountId, at },
    sum: { requests: count },
    min: { firstAt },
    max: { lastAt },
  }
}
