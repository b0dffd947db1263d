import type { DocumentChange, Projection } from '../../projections/projection.ts'
import type { Checkpoint, Step } from '../../src/application/ports/checkpoints.ts'

const schema = {
  type: 'object',
  properties: { id: { type: 'string' }, name: { type: 'string' } },
  required: ['id'],
  additionalProperties: true,
} as const

export const people: Projection = {
  name: 'people',
  version: 1,
  events: [],
  collections: [
    {
      name: 'people',
      schema,
      counters: ['routes'],
      indexes: [
        { fields: ['email'], unique: true },
        { fields: ['city', 'age'] },
        { fields: ['city', 'name'] },
        { fields: ['kind'] },
        ...['age', 'city', 'name', 'active'].map((field) => ({ fields: ['kind', field] })),
        { fields: ['kind', 'note'], sparse: true },
        { fields: ['kind', 'age', 'name'], without: 'age' },
      ],
    },
    { name: 'rows', schema, indexes: [] },
    { name: 'seen', schema, apart: 'at', indexes: [{ fields: ['of', 'at'] }] },
  ],
  project: () => [],
}
export const others: Projection = {
  ...people,
  name: 'others',
  collections: [{ name: 'others', schema, indexes: [] }],
}

export const put = (
  id: string,
  revision: number,
  fields: Record<string, string | number | boolean | null>,
): DocumentChange => ({
  kind: 'put',
  collection: 'people',
  id,
  revision,
  fields,
})

export const latest = (id: string, value: string): DocumentChange => ({
  kind: 'latest',
  collection: 'seen',
  id,
  field: 'at',
  value,
})

export const position = (n: number): string => String(n).padStart(16, '0')

/** A place in a log that does not exist; 0 is its start. */
export const place = (n: number): Checkpoint | null =>
  n === 0 ? null : { position: position(n), id: `event-${n}`, link: `link-${n}`, kept: null }

/** A step that takes some projections from one place to another. */
export const piece = (of: readonly Projection[], from: number, to: number): Step => ({
  from: new Map(of.map((one) => [one, place(from)])),
  to: new Map(of.map((one) => [one, place(to)])),
})

type Add = Extract<DocumentChange, { kind: 'add' }>
export const add = (id: string, n: number, change: Partial<Add>): DocumentChange => ({
  kind: 'add',
  collection: 'people',
  id,
  position: position(n),
  ...change,
})

/** A total whose position is `at`, and whose counter is `n`. */
export const total = (id: string, at: number, fields: Record<string, unknown>): DocumentChange => ({
  kind: 'total',
  collection: 'people',
  id,
  position: position(at),
  by: 'n',
  fields: fields as Extract<DocumentChange, { kind: 'total' }>['fields'],
})
