import { id } from './schemaParts.ts'

export const importEventSchemas = {
  // Only one import of an old table's rows may run at a time. Whoever writes these events is at work, until the last
  // one says that the work has ended.
  ImportAdvanced: {
    type: 'object',
    additionalProperties: false,
    required: ['importId', 'rows', 'read', 'ended'],
    properties: {
      importId: id,
      // How many rows the file has, and how many of them are certainly in the store.
      rows: { type: 'integer', minimum: 0 },
      read: { type: 'integer', minimum: 0 },
      ended: { type: 'boolean' },
    },
  },
} as const
