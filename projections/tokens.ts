import type { FromSchema } from 'json-schema-to-ts'
import { storedChain } from '../src/domain/chain.ts'
import { isLifecycle, type LifecycleEvent, type StoredEvent } from '../src/domain/events.ts'
import { tokenIdOf } from '../src/domain/streams.ts'
import { noticeAfter } from '../src/domain/expiry.ts'
import { secondsAfter } from '../src/domain/time.ts'
import { noticeOf, started } from '../src/domain/token.ts'
import { entriesOf } from '../src/domain/usageEntries.ts'
import { foldCase } from './foldCase.ts'
import { actor, nullable, number, string } from './members.ts'
import type { DocumentChange, Projection, Value } from './projection.ts'
import { secretFields } from './secretFields.ts'
import { LIFE, versionOfLife } from './versionOfLife.ts'

const schema = {
  type: 'object',
  additionalProperties: false,
  required: [
    'id',
    'accountId',
    'name',
    'nameFolded',
    'hash',
    'hashKeyId',
    'hint',
    'secret',
    'scopes',
    'description',
    'metadata',
    'allowedIps',
    'rotatable',
    'createdBy',
    'createdAt',
    'updatedAt',
    'expiresAt',
    'noticeAt',
    'revokedAt',
    'phase',
    'revision',
    'chain',
  ],
  properties: {
    id: string,
    accountId: string,
    name: string,
    nameFolded: string,
    description: nullable,
    // Only with a description.
    descriptionFolded: nullable,
    metadata: { type: 'object', additionalProperties: string },
    allowedIps: { type: ['array', 'null'], items: string },
    rotatable: { type: 'boolean' },
    createdBy: actor,
    // Of the only secret, or of the older one of two.
    hash: string,
    hashKeyId: string,
    secret: {
      type: 'object',
      additionalProperties: false,
      required: ['revision', 'hint'],
      properties: { revision: { type: 'integer' }, hint: string },
    },
    // Of the newer secret, from the start of a rotation on. They stay when the older one has retired, until the next
    // rotation.
    newerHash: nullable,
    newerHashKeyId: nullable,
    rotation: {
      type: ['object', 'null'],
      additionalProperties: false,
      required: ['revision', 'hint', 'startedAt', 'startedBy', 'graceSeconds'],
      properties: {
        revision: { type: 'integer' },
        hint: string,
        startedAt: string,
        startedBy: actor,
        graceSeconds: number,
      },
    },
    activatedAt: nullable,
    retiresAt: nullable,
    newerIsUsed: { type: 'boolean' },
    // Of the secret that the token is known by.
    hint: string,
    scopes: { type: 'array', items: string },
    createdAt: string,
    updatedAt: string,
    expiresAt: nullable,
    // When somebody is told next that it expires, or has expired. Null: never.
    noticeAt: nullable,
    revokedAt: nullable,
    // Part of indexes, so that a list of tokens in one phase does not have to step over those in another.
    phase: { enum: ['active', 'expired', 'revoked'] },
    lastAccessed: string,
    revision: { type: 'integer' },
    // The link of the event at that revision. A command continues from here, without reading the history.
    chain: string,
    // Why the stream's events can no longer be trusted. With it, the token authenticates nobody.
    stopped: string,
  },
} as const

/**
 * A token as it is now. Authentication finds it by `hash` and `newerHash`; the folded texts are for a search that
 * ignores case.
 */
export type TokenDocument = FromSchema<typeof schema>

/**
 * What its events say of a token. That it has expired is written down a moment after it has, so whoever has to know looks
 * at the time as well.
 */
export type Phase = TokenDocument['phase']
export const NOT_REVOKED: readonly Phase[] = ['active', 'expired']
export const PHASES: readonly Phase[] = [...NOT_REVOKED, 'revoked']

/** What follows from an expiry that is set. */
const termOf = ({ expiresAt }: { expiresAt?: string | null }, at: string): { [field: string]: Value } => {
  if (expiresAt === undefined) return {}
  const phase: Phase = expiresAt !== null && expiresAt <= at ? 'expired' : 'active'
  return { ...noticeOf({ expiresAt }, at), phase }
}

export const tokens: Projection = {
  name: 'tokens',
  version: versionOfLife(4),
  events: [...LIFE, 'TokensUsed', 'TokenUsed', 'UsageRolledUp'],
  collections: [
    {
      name: 'tokens',
      schema,
      apart: 'lastAccessed',
      indexes: [
        { fields: ['hash'], unique: true },
        { fields: ['newerHash'], unique: true },
        { fields: ['accountId', 'phase', 'createdAt'] },
        { fields: ['accountId', 'phase', 'name'] },
        { fields: ['accountId', 'phase', 'expiresAt'] },
        { fields: ['accountId', 'phase', 'lastAccessed'] },
        // Those that were never used. A use changes the entries of no token but at its first.
        { fields: ['accountId', 'phase', 'lastAccessed', 'createdAt'], without: 'lastAccessed' },
        { fields: ['accountId', 'stopped'], sparse: true },
        { fields: ['phase', 'hashKeyId'] },
        { fields: ['phase', 'newerHashKeyId'], sparse: true },
        // For lists of the tokens of all accounts.
        { fields: ['phase', 'createdAt'] },
        { fields: ['phase', 'name'] },
        { fields: ['phase', 'expiresAt'] },
        { fields: ['phase', 'lastAccessed'] },
        { fields: ['phase', 'lastAccessed', 'createdAt'], without: 'lastAccessed' },
        { fields: ['hint'] },
        // For those of which somebody has to be told that they expire.
        { fields: ['noticeAt'], sparse: true },
      ],
    },
  ],
  project(event) {
    if (event.type === 'UsageRolledUp') {
      const { tokenId, buckets } = event.data
      return [
        used(
          tokenId,
          buckets.map(({ lastAt }) => lastAt).reduce((a, b) => (a > b ? a : b)),
        ),
      ]
    }
    if (!isLifecycle(event)) return entriesOf(event).map(({ tokenId, lastAt }) => used(tokenId, lastAt))
    const { at } = event.metadata
    const id = tokenIdOf(event.stream)
    // What the system does is no update by anybody.
    const moved: Record<string, Value> = event.metadata.actor.kind === 'system' ? {} : { updatedAt: at }
    const put = (fields: Record<string, Value>): DocumentChange[] => [
      putOf(event, { ...moved, ...fields, ...placeOf(event) }),
    ]
    switch (event.type) {
      case 'TokenCreated': {
        const { tokenId: _, ...data } = event.data
        return put({ ...bornWith(event, data), rotatable: data.rotatable, createdAt: at, updatedAt: at })
      }
      case 'TokenImported': {
        const { tokenId: _, oldId: __, lastAccessed, ...data } = event.data
        const made = put({ ...bornWith(event, data), rotatable: false })
        // As a use, so that later uses replace it.
        return lastAccessed === null ? made : [...made, used(id, lastAccessed)]
      }
      case 'TokenUpdated':
        return put({ ...event.data, ...folded(event.data), ...termOf(event.data, at) })
      case 'TokenRevoked':
        return put({ revokedAt: at, phase: 'revoked', noticeAt: null })
      case 'TokenLeaked':
        return [putOf(event, placeOf(event))]
      case 'TokenRotationStarted':
        return put(secretFields(started(event)))
      case 'TokenSecretActivated': {
        const { hint, graceSeconds } = event.data
        const seen = { hint, newerIsUsed: true, ...placeOf(event) }
        if (graceSeconds === null) return [putOf(event, seen)]
        return [putOf(event, { ...seen, activatedAt: at, retiresAt: secondsAfter(at, graceSeconds) })]
      }
      case 'TokenRotationEnded':
        return put(secretFields({ secret: event.data.remaining, rotation: null }))
      case 'TokenExpiring': {
        const noticeAt = noticeAfter(event.data.expiresAt, event.data.days)
        return [putOf(event, { noticeAt, ...placeOf(event) })]
      }
      case 'TokenExpired':
        return [putOf(event, { noticeAt: null, phase: 'expired', ...placeOf(event) })]
    }
  },
}

type Born = Extract<LifecycleEvent, { type: 'TokenCreated' | 'TokenImported' }>

const bornWith = (
  { revision, metadata: { at, actor: createdBy } }: Born,
  data: Record<string, Value> & {
    name: string
    description: string | null
    hint: string
    expiresAt: string | null
  },
): Record<string, Value> => ({
  ...data,
  ...folded(data),
  ...termOf(data, at),
  secret: { revision, hint: data.hint },
  createdBy,
  revokedAt: null,
})

/** The texts that a search looks into. */
const folded = ({ name, description }: { name?: string; description?: string | null }) => ({
  ...(name === undefined ? {} : { nameFolded: foldCase(name) }),
  ...(description === undefined ? {} : { descriptionFolded: description && foldCase(description) }),
})

const used = (id: string, at: string): DocumentChange => ({
  kind: 'latest',
  collection: 'tokens',
  id,
  field: 'lastAccessed',
  value: at,
})

/** Closes a token whose history cannot be trusted, or understood, from this event on. */
export const stopToken = (event: Place, reason: string): DocumentChange => putOf(event, { stopped: reason })

/** For an event that changes nothing of a token but the place that its stream has come to. */
export const passOver = (event: StoredEvent): DocumentChange => putOf(event, placeOf(event))

/** Behind any revision, so that what is set with it stays. */
const final = ({ stream }: Place): Place => ({ stream, revision: Number.MAX_SAFE_INTEGER })

/** Closes the token of an event that cannot be projected, for good. */
export const closeToken = (event: Place, reason: string): DocumentChange =>
  putOf(final(event), { stopped: reason })

/**
 * Closes a token whose hash belongs to another one. Its own `hash` becomes text that is no hash, since hashes are
 * unique.
 */
export const closeWithoutHash = (event: Place, reason: string): DocumentChange =>
  putOf(final(event), { hash: `none ${tokenIdOf(event.stream)}`, stopped: reason })

/** Replaces the document of a token by one that only says that it is closed. */
export const replaceByClosed = (event: Place, reason: string): DocumentChange => ({
  kind: 'replace',
  collection: 'tokens',
  id: tokenIdOf(event.stream),
  fields: { stopped: reason },
})

/** The place of an event in its stream. */
interface Place {
  stream: string
  revision: number
}

const putOf = ({ stream, revision }: Place, fields: Record<string, Value>): DocumentChange => ({
  kind: 'put',
  collection: 'tokens',
  id: tokenIdOf(stream),
  revision,
  fields,
})

const placeOf = (event: Pick<StoredEvent, 'revision' | 'metadata'>) => ({
  revision: event.revision,
  chain: storedChain(event),
})
