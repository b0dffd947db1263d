import {
  allowedIpsInput,
  cursor,
  descriptionInput,
  expiresAtInput,
  metadataInput,
  metadataPatch,
  momentInput,
  nameInput,
  reasonInput,
  scopeItems,
} from './inputs.ts'
import { limit, object, time } from './parts.ts'

/** JSON Schemas of bodies and queries. They validate requests, and `/openapi.json` shows them. */

/** Viewers fill examples in, and would ask for a past time where nothing is meant. */
const { example: _, ...moment } = time

const scopesInput = {
  type: 'array',
  items: scopeItems,
  maxItems: 32,
}

const described = {
  description: descriptionInput,
  allowed_ips: allowedIpsInput,
  rotatable: { type: 'boolean', description: 'May the token rotate itself?' },
}
const patched = {
  name: nameInput,
  expires_at: expiresAtInput,
  scopes: { ...scopesInput, type: ['array', 'null'] },
  ...described,
  metadata: metadataPatch,
}

export const createBody = object({ ...patched, scopes: scopesInput, metadata: metadataInput }, [
  'expires_at',
  'scopes',
  'description',
  'allowed_ips',
  'rotatable',
  'metadata',
])

export const patchBody = object(patched, Object.keys(patched) as (keyof typeof patched)[])

export const allowedIpsCheckBody = object({ allowed_ips: { ...allowedIpsInput, type: 'array' } })

export const rotationBody = object(
  {
    grace_seconds: {
      type: 'integer',
      minimum: 0,
      maximum: 604_800,
      default: 86_400,
      description: 'How long the older secret is accepted beside the newer one, from its activation on.',
    },
    activate: {
      enum: ['on_first_use', 'now'],
      default: 'on_first_use',
      description: 'When that time begins: at the first use of the newer secret, or at once.',
    },
  },
  ['grace_seconds', 'activate'],
)
export const endRotationQuery = object({
  status: {
    enum: ['pending', 'grace'],
    description: '`pending`: the newer secret dies. `grace`: the older one does.',
  },
})

const days = { type: 'integer', minimum: 1, maximum: 3650 } as const

export const noQuery = object({})
export const readQuery = object(
  {
    at: momentInput,
  },
  ['at'],
)
export const pageQuery = object({ limit, cursor }, ['limit', 'cursor'])
export const listQuery = object(
  {
    status: { enum: ['live', 'active', 'expired', 'revoked', 'all'], default: 'live' },
    q: { type: 'string', maxLength: 100, description: 'Text in the name or the description, ignoring case.' },
    unused_days: {
      ...days,
      description: 'Only those that were not used for so many days, and not made since then.',
    },
    expiring_days: { ...days, description: 'Only those that expire within so many days.' },
    never_expires: { type: 'boolean', description: 'Only those that never expire.' },
    counts: { type: 'boolean', description: 'Whether the answer has `counts`, too.' },
    daily: {
      type: 'integer',
      minimum: 1,
      maximum: 30,
      description: 'Each token has `daily`, too: its requests on each of so many days until today.',
    },
    sort: {
      enum: ['created_at', 'name', 'last_accessed', 'expires_at'].flatMap((field) => [field, `-${field}`]),
      default: '-created_at',
    },
    limit,
    cursor,
  },
  [
    'status',
    'q',
    'unused_days',
    'expiring_days',
    'never_expires',
    'counts',
    'daily',
    'sort',
    'limit',
    'cursor',
  ],
)
/** How many buckets (hours and days, of each token by itself) one answer reads at most: about ten seconds of work. */
export const MOST_BUCKETS = 1_000_000

export const usageQuery = object(
  {
    from: {
      ...moment,
      description:
        'Inclusive; default: 30 days before now. A range with uses of more than 1,000,000 hours or days, of each token for itself, is refused.',
    },
    to: { ...moment, description: 'Exclusive; default: now.' },
    granularity: { enum: ['hour', 'day'], default: 'day' },
    route: {
      type: 'string',
      maxLength: 300,
      description: 'Only requests on this route, as usage names it: `/orders/:id`, or `GET /orders/:id`.',
    },
  },
  ['from', 'to', 'granularity', 'route'],
)
export const reportQuery = object(
  {
    from: { ...moment, description: 'Of the range of `top`, inclusive; default: 30 days before its end.' },
    to: { ...moment, description: 'Exclusive; default: now.' },
    idle_days: { ...days, default: 90, description: 'Not used for so many days is idle.' },
    expiring_days: { ...days, default: 30, description: 'What expires within so many days is shown.' },
    limit: { ...limit, description: 'Rows of a list.' },
  },
  ['from', 'to', 'idle_days', 'expiring_days', 'limit'],
)
export const sinceQuery = object(
  { since: { ...moment, description: 'The hour that it lies in counts whole. Default: the creation.' } },
  ['since'],
)
export const revokeQuery = object(
  {
    reason: reasonInput,
  },
  ['reason'],
)
