import { hash } from 'node:crypto'
import type { RotatedSecretDocument } from '../../../projections/rotatedSecrets.ts'
import type { TokenDocument } from '../../../projections/tokens.ts'
import { blocksOf } from '../../domain/address.ts'
import { hashLegacyToken, hashToken, type Pepper, PLAIN_KEY_ID } from '../../domain/credential.ts'
import { bySecret } from '../readModel/secrets.ts'
import { secretsOf } from '../eventLog/tokenStream.ts'
import { type Asker, BusyError, createGate, LOOK_UPS, OverLimitError } from '../scheduling/gate.ts'
import { createRecords, type RetiredSecret, type TokenRecord } from './records.ts'
import { createRoster } from './roster.ts'
import { ageOf, type Instant, now as readClocks } from '../ports/clock.ts'
import type { Condition } from '../ports/documents.ts'
import { StoreUnavailableError } from '../ports/errors.ts'
import type { DocumentReader, Watchable } from '../ports/readModel.ts'
import type { Watch } from '../ports/sharing.ts'

/** What a look-up finds. Null: no token has, or had, this secret. */
export type Found = TokenRecord | RetiredSecret | null

export interface TokenIndex {
  /** The record of a token that is in memory, if memory may decide at the moment; otherwise null. */
  held(token: string, isLegacy: boolean): TokenRecord | null
  /**
   * The current record of a token, or null for an unknown token. A secret that a token had before a rotation is known.
   * A token that is known to be good is looked up whenever it is needed. All others wait in a queue for their look-ups,
   * which is limited.
   * @param isLegacy looks among imported tokens only; without it, among all others
   * @param asker the caller, whose look-ups in vain are limited
   * @throws OverLimitError, BusyError if it was not looked up; StoreUnavailableError if it was good before and is
   *   missing now; what the read model throws
   */
  find(token: string, isLegacy?: boolean, asker?: Asker): TokenRecord | Promise<Found>
  /** Announces a token that has just been made. */
  expect(token: string): void
  /** May the record still be used for a decision? Ask again after every wait. */
  isCurrent(record: TokenRecord): boolean
  /** Forgets tokens that have changed; null: all tokens. Look-ups that began before this are repeated. */
  evict(tokenIds: ReadonlySet<string> | null): void
  /** Begins to watch for changes by other processes. Before this, and after `onLost`, every token is looked up. */
  start(onLost?: (error: unknown) => void): void
  /** From now on every token is looked up. */
  stop(): Promise<void>
  size(): number
  /** The memory of the records, nearly, in bytes. */
  bytes(): number
  /** The number of tokens that are remembered as good: `used` were used here, `all` are those that exist. */
  remembered(): { used: number; all: number }
  /** The number of look-ups since the start, of tokens that were known to be good, and of others. */
  lookUps(): { known: number; unknown: number }
  /** Are records in memory trusted at the moment? */
  isLive(): boolean
}

/** The fields of a token document that authentication depends on. Uses change other fields all the time. */
const WATCHED: readonly (keyof TokenDocument)[] = ['revision', 'stopped']
/**
 * How long the answer of a look-up may be used while no watch is live, in milliseconds: as long as a watch is trusted.
 */
const TRUSTED_MS = 1000
/** How many tokens are remembered as good. One is forgotten when as many others have been looked up since. */
const GOOD_CAP = 131_072

export interface IndexOptions {
  /** The queue for look-ups of tokens that are not known to be good. */
  strangers?: ReturnType<typeof createGate>
  /** Called with the id of the key that has made the hash of a token that was found. */
  onMatched?: (keyId: string) => void
}

/** A look-up that is under way, and what has changed since it began. */
interface LookUp {
  changed: Set<string>
  anything: boolean
}

/**
 * A bounded index in front of the read model, keyed by the SHA-256 of the token, never by the token. It answers only
 * while the read model announces every change; at all other times the read model is asked. Only tokens that exist are
 * kept: an unknown credential costs a look-up each time, and a new token is never taken for unknown. At the cap, the
 * record that came first is removed.
 * @param now two clocks, since the machine may be suspended during a look-up
 */
export function createTokenIndex(
  readModel: DocumentReader & Watchable,
  peppers: readonly Pepper[],
  cap: number,
  now: () => Instant = readClocks,
  { strangers = createGate(LOOK_UPS), onMatched = () => {} }: IndexOptions = {},
): TokenIndex {
  const records = createRecords(cap)
  const lookUps = new Set<LookUp>()
  const good = createMemory(GOOD_CAP)
  const roster = createRoster(readModel)
  const counted = { known: 0, unknown: 0 }
  let watch: Watch | null = null

  const isLive = (): boolean => watch?.isLive() ?? false
  const isCurrent = (record: TokenRecord): boolean =>
    !record.stale &&
    (isLive() || (watch?.trustsLookUps !== false && ageOf(record.readAt, now()) < TRUSTED_MS))

  const hashesOf = (token: string, isLegacy: boolean): string[] =>
    isLegacy ? [hashLegacyToken(token)] : peppers.map((pepper) => hashToken(pepper, token))

  /** A look-up that waits in the queue. If the queue refuses a token that exists by the roster, it waits no longer. */
  async function loadUnknown(token: string, key: string, isLegacy: boolean, asker?: Asker): Promise<Found> {
    try {
      return await strangers.run(() => load(token, key, isLegacy, 'unknown'), asker)
    } catch (error) {
      const isRefused = error instanceof OverLimitError || error instanceof BusyError
      if (isRefused && (await roster.has(hashesOf(token, isLegacy))))
        return load(token, key, isLegacy, 'known')
      throw error
    }
  }

  async function load(
    token: string,
    key: string,
    isLegacy: boolean,
    of: 'known' | 'unknown',
  ): Promise<Found> {
    const hashes = hashesOf(token, isLegacy)
    counted[of]++
    const forgetGood = () => {
      good.forget(key)
      roster.remove(hashes)
    }
    for (let isFirst = true; ; isFirst = false) {
      const lookUp: LookUp = { changed: new Set(), anything: false }
      lookUps.add(lookUp)
      const readAt = now()
      const [document] = await readModel
        .find('tokens', { where: bySecret(hashes), order: 'any', limit: 1 })
        .finally(() => lookUps.delete(lookUp))
      const found = document as TokenDocument | undefined
      // The token has changed during the look-up. What was read may be older than the change, so it is not used.
      const { anything, changed } = lookUp
      if (anything || (found && changed.has(found.id))) continue
      // The token may be one that has just been made. Other tokens change all the time, so this is tried only once.
      if (!found && changed.size > 0 && isFirst) continue
      if (!found) {
        const retired = await retiredSecret(readModel, hashes)
        // Documents of tokens are never removed. Somebody has removed this one from the read model by other means.
        if (!retired && good.has(key))
          throw new StoreUnavailableError('a token that was good is not there any more')
        forgetGood()
        return retired
      }
      const made = toRecord(found, hashes, readAt)
      // A hash is valid only as the kind that it was made as: a keyed hash never matches a plain one, or the other way
      // round.
      if ((made.keyId === PLAIN_KEY_ID) !== isLegacy) {
        forgetGood()
        return null
      }
      onMatched(made.keyId)
      const record = records.keep(key, made.record)
      if (isGood(record)) good.add(key)
      else forgetGood()
      if (isCurrent(record)) return record
    }
  }

  const isGood = ({ revoked, stopped, expiresAt, retiresAt }: TokenRecord): boolean =>
    !revoked && stopped === null && Math.min(expiresAt, retiresAt) > now().wall

  function evict(tokenIds: ReadonlySet<string> | null): void {
    roster.changed(tokenIds)
    if (tokenIds === null) {
      records.forgetAll()
      for (const lookUp of lookUps) lookUp.anything = true
      return
    }
    for (const tokenId of tokenIds) {
      for (const lookUp of lookUps) lookUp.changed.add(tokenId)
      records.forget(tokenId)
    }
  }

  /** An imported token must not be found as one of our own, even if it looks like one. */
  const keyOf = (token: string, isLegacy: boolean): string =>
    (isLegacy ? 'legacy ' : '') + hash('sha256', token, 'base64')
  const heldAt = (key: string): TokenRecord | null => (isLive() && records.get(key)) || null

  return {
    held: (token, isLegacy) => heldAt(keyOf(token, isLegacy)),

    find(token, isLegacy = false, asker) {
      const key = keyOf(token, isLegacy)
      const record = heldAt(key)
      if (record) return record
      return good.has(key) ? load(token, key, isLegacy, 'known') : loadUnknown(token, key, isLegacy, asker)
    },

    expect: (token) => good.add(keyOf(token, false)),

    isCurrent,
    evict,

    start(onLost) {
      watch = readModel.watch('tokens', WATCHED, evict, onLost)
    },

    async stop() {
      const watching = watch
      watch = null
      await watching?.close()
    },

    size: records.size,
    bytes: records.bytes,
    remembered: () => ({ used: good.size(), all: roster.size() }),
    lookUps: () => ({ ...counted }),
    isLive,
  }
}

/** Only a secret of a token that was rotated is found there. */
async function retiredSecret(
  readModel: Pick<DocumentReader, 'find'>,
  hashes: readonly string[],
): Promise<RetiredSecret | null> {
  const where: Condition[] = [{ field: 'id', op: 'in', value: hashes }]
  const [found] = await readModel.find('rotatedSecrets', { where, order: 'any', limit: 1 })
  if (!found) return null
  const { tokenId, accountId, revision } = found as unknown as RotatedSecretDocument
  return { isRetired: true, tokenId, accountId, secret: revision }
}

/** @param hashes of the secret that was sent, one for each key */
function toRecord(
  token: TokenDocument,
  hashes: readonly string[],
  readAt: Instant,
): { record: TokenRecord; keyId: string } {
  const {
    id,
    accountId,
    scopes,
    metadata,
    allowedIps,
    createdAt,
    expiresAt,
    revokedAt,
    revision,
    stopped = null,
  } = token
  const { secret, rotation } = secretsOf(token)
  const isNewer = rotation !== null && hashes.includes(rotation.secret.hash)
  const used = isNewer ? rotation.secret : secret
  const record: TokenRecord = {
    principal: {
      kind: 'token',
      accountId,
      tokenId: id,
      scopes: Object.freeze([...scopes]),
      metadata: Object.freeze(metadata),
    },
    tokenId: id,
    createdAt: Date.parse(createdAt),
    secret: used.revision,
    retiresAt: isNewer ? Number.POSITIVE_INFINITY : timeOr(rotation?.retiresAt),
    isUnused: isNewer && !rotation.isUsed,
    allowedIps: allowedIps && blocksOf(allowedIps),
    expiresAt: timeOr(expiresAt),
    revoked: revokedAt !== null,
    stopped,
    revision,
    readAt,
    stale: false,
  }
  return { record, keyId: used.hashKeyId }
}

const timeOr = (at: string | null | undefined): number => (at ? Date.parse(at) : Number.POSITIVE_INFINITY)

/**
 * Remembers the texts that were added last, between `cap` and twice as many. It has two halves, and the older half is
 * dropped as a whole.
 */
function createMemory(cap: number) {
  let [recent, older] = [new Set<string>(), new Set<string>()]
  return {
    size: (): number => recent.size + older.size,
    has: (text: string): boolean => recent.has(text) || older.has(text),
    add(text: string): void {
      recent.add(text)
      if (recent.size >= cap) [recent, older] = [new Set(), recent]
    },
    forget(text: string): void {
      recent.delete(text)
      older.delete(text)
    },
  }
}
