import { id } from './schemaParts.ts'

export const importEventSchemas = {
  // One import of an old table's rows at a time: whoever writes these is at work, until the last one says that it is not.
  ImportAdvanced: {
    type: 'object',
    additionalProperties: false,
    required: ['importId', 'rows', 'read', 'ended'],
    properties: {
      importId: id,
      // Of the file, and how many of them are in the store for certain.
      rows: { type: 'integer', minimum: 0 },
      read: { type: 'integer', minimum: 0 },
      ended: { type: 'boolean' },
    },
  },
} as const
