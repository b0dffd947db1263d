import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { canonical } from '../../domain/chain.ts'
import type { LogDifference, LogDigest, LogPart } from './logDigest.ts'

/** A signed digest of the whole log at one time. It is small, yet no event up to that time can be changed unnoticed. */
export interface Checkpoint extends Unsigned {
  /** Ed25519 over the canonical form of all other members, in base64. */
  signature: string
}

interface Unsigned extends LogPart {
  /** The version of this form. */
  checkpoint: typeof VERSION
  /** When it was made, by the clock of the machine that made it. */
  at: string
  kept: LogPart
  usage_days: Record<string, LogPart>
  /** Fingerprint of the public key. */
  key: string
}

const VERSION = 1

/** The text is no checkpoint, or this key has not signed it. */
export class BadCheckpointError extends Error {
  override name = 'BadCheckpointError'
}

export function signCheckpoint({ all, kept, usageDays }: LogDigest, at: string, key: KeyObject): Checkpoint {
  const unsigned: Unsigned = {
    checkpoint: VERSION,
    at,
    ...all,
    kept,
    usage_days: usageDays,
    key: fingerprint(key),
  }
  return { ...unsigned, signature: sign(null, signed(unsigned), key).toString('base64') }
}

/**
 * Reads a checkpoint and checks its signature.
 * @param key the public key of the pair
 * @throws BadCheckpointError
 */
export function readCheckpoint(text: string, key: KeyObject): Checkpoint {
  const { signature, ...unsigned } = parse(text)
  if (unsigned.key !== fingerprint(key)) {
    throw new BadCheckpointError('The checkpoint was signed with another key than the one configured.')
  }
  const isSigned =
    typeof signature === 'string' && verify(null, signed(unsigned), key, Buffer.from(signature, 'base64'))
  if (!isSigned) throw new BadCheckpointError('The checkpoint is not what was signed: it was altered.')
  if (unsigned.checkpoint !== VERSION) {
    throw new BadCheckpointError('The checkpoint is of a form that this version does not know.')
  }
  return { ...unsigned, signature } as Checkpoint
}

export const digestOf = ({ events, digest, kept, usage_days: usageDays }: Checkpoint): LogDigest => ({
  all: { events, digest },
  kept,
  usageDays,
})

function parse(text: string): Partial<Checkpoint> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && 'checkpoint' in value)
      return value as Partial<Checkpoint>
  } catch {
    // It is reported below.
  }
  throw new BadCheckpointError('The file is no checkpoint.')
}

const signed = (unsigned: Partial<Unsigned>): Buffer => Buffer.from(canonical(unsigned))

/** The fingerprint of the public key, `SHA256:<base64url>`; either key of the pair may be given. */
function fingerprint(key: KeyObject): string {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  const der = publicKey.export({ type: 'spki', format: 'der' })
  return `SHA256:${createHash('sha256').update(der).digest('base64url')}`
}

/** What the differences between a log and a checkpoint mean. */
export interface CheckpointFindings {
  /** In words, what was done to the log since; empty if nothing was done. */
  found: string[]
  /** Days whose usage retention has taken, in part or whole, so that it cannot be compared any more. */
  expired: string[]
}

/**
 * Says in words what differences mean.
 * @param expiresBefore a day (`2026-11-02`): retention may have taken the usage of earlier days; null: usage is kept
 *   for ever
 */
export function assessDifferences(
  differences: readonly LogDifference[],
  expiresBefore: string | null,
): CheckpointFindings {
  const held: CheckpointFindings = { found: [], expired: [] }
  let whole = true
  for (const { part, was, left } of differences) {
    if (part === 'all') continue
    whole = false
    if (part === 'kept') {
      held.found.push(`of the events of tokens, ${changed(was, left)}`)
    } else if (expiresBefore !== null && part.usageDay < expiresBefore) {
      held.expired.push(part.usageDay)
    } else {
      held.found.push(`of the usage of ${part.usageDay}, ${changed(was, left)}`)
    }
  }
  if (differences.length > 0 && whole) {
    held.found.push('events were inserted among those that the checkpoint binds, or stand in another order')
  }
  return held
}

const changed = (was: number, left: number): string =>
  left < was
    ? `${was - left} of ${was} are gone${left > 0 ? ', or more, if others were put in' : ''}`
    : `the first ${was} are not those that there were: altered, inserted, removed or moved`
