import type { Document } from 'mongodb'
import type { Collection } from '../../../../projections/projection.ts'
import { pathOf } from './names.ts'

const COUNTERS = {
  bsonType: 'array',
  items: {
    bsonType: 'object',
    additionalProperties: false,
    required: ['key', 'count'],
    properties: { key: { bsonType: 'string' }, count: { bsonType: 'number' } },
  },
}

/**
 * The JSON Schema of a collection in MongoDB's dialect. Only the id is required, since documents get their members bit
 * by bit.
 */
export function validatorOf({ schema, counters = [] }: Collection): Document {
  const members = Object.entries(schema.properties).map(([field, member]) => [
    pathOf(field),
    counters.includes(field) ? COUNTERS : translated(member),
  ])
  return {
    $jsonSchema: {
      bsonType: 'object',
      required: ['_id'],
      additionalProperties: schema.additionalProperties,
      properties: {
        ...Object.fromEntries(members),
        _revisions: { bsonType: 'object' },
        _position: { bsonType: 'string' },
        _mark: { bsonType: 'object' },
      },
    },
  }
}

/**
 * MongoDB's dialect has no `integer` and no `format`. A whole number may be stored in three types, so any number is
 * allowed.
 */
function translated(schema: object): Document {
  const { type, format: _, ...others } = schema as { type?: string | string[]; format?: string }
  const rest: Document = { ...others }
  if (type !== undefined) rest.bsonType = Array.isArray(type) ? type.map(bsonType) : bsonType(type)
  for (const inner of ['items', 'additionalProperties']) {
    if (typeof rest[inner] === 'object') rest[inner] = translated(rest[inner])
  }
  if (rest.properties) {
    const members = Object.entries<object>(rest.properties)
    rest.properties = Object.fromEntries(members.map(([name, member]) => [name, translated(member)]))
  }
  return rest
}

const BSON_TYPES: Record<string, string> = { integer: 'number', boolean: 'bool' }
const bsonType = (type: string): string => BSON_TYPES[type] ?? type
