import { isOfToken, tokenIdOf } from '../../domain/streams.ts'
import { isLifecycle, type RecordedEvent, type StoredEvent } from '../../domain/events.ts'
import { notUnderstood, upcast } from '../../domain/upcast.ts'
import { entriesOf, type UsageEntry } from '../../domain/usageEntries.ts'
import { flawOf } from '../eventLog/eventCheck.ts'
import { createCompactMap } from './compactMap.ts'
import { createSecretLives } from './secretLives.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { type Damage, type Walked, walkLog } from './verifyLog.ts'

/**
 * How long after the answer to a revocation, or to what ends a secret, another process may still accept it, in
 * milliseconds.
 */
export const REVOCATION_BOUND_MS = 2000

/**
 * Uses of one token in one flush window that its history does not allow.
 * - `certain`: the order of the log and the revision show it, whatever the clocks say.
 * - `possible`: the times in the events show it. It could be explained by clocks that differ by `lateMs`, by a request
 *   that lasted so long (a use is counted when its answer ends), or by a revocation, or the end of a secret, that was
 *   answered so late.
 */
export interface Finding {
  kind: 'certain' | 'possible'
  what: string
  tokenId: string
  /** Where the uses are recorded. */
  stream: string
  revision: number
  firstAt: string
  lastAt: string
  /** The revision of the token on which they were decided. */
  tokenRevision: number
  /** Which secret was used: the revision of the event that brought it. */
  secret: number
  /** How many of the uses the finding is about. */
  uses: { atLeast: number; atMost: number }
  /** When the token was revoked; null if the finding is not about that. */
  revokedAt: string | null
  /** Until when the secret was accepted; null if the finding is not about that. */
  secretUntil: string | null
  /** How long after that time plus the bound the last use was, in milliseconds. */
  lateMs: number | null
}

export interface Audited extends Walked {
  /** How many uses were looked at. */
  uses: number
  /** Refused requests with secrets that had retired. They are no uses. */
  retiredSecretUses: number
  revokedTokens: number
  /** Uses on an older revision in windows that end within the bound after the revocation or the end of their secret. */
  withinBound: number
  findings: number
}

export interface Audit {
  /** By how much clocks may differ, or how long requests may last, in milliseconds, in addition to the bound. */
  toleranceMs: number
  onFinding(finding: Finding): Promise<void> | void
  onDamage(damage: Damage): Promise<void> | void
  onProgress?(events: number): void
}

/**
 * A token's record holds: its newest revision; the revision of its revocation plus one, or 0; the time of the
 * revocation (milliseconds).
 */
const BYTES = 16
const [NEWEST, REVOKED, REVOKED_AT] = [0, 4, 8]
/** Stands for the newest revision if the history is damaged, since then nobody knows which revisions there were. */
const UNKNOWABLE = 2 ** 32 - 1

/**
 * Compares every use with what the log said of its token before the use was stored. A use that was stored before a
 * revocation cannot have been decided after it. Events of damaged streams are left out and reported as damage. The
 * first event of a stream that this code does not understand is reported as well, since it may have revoked the token.
 * Takes about 120 bytes of memory for each token, and 40 for each rotation.
 */
export async function auditDecisions(store: EventStore, audit: Audit): Promise<Audited> {
  const tokens = createCompactMap(BYTES)
  const secrets = createSecretLives()
  const sums = { uses: 0, retiredSecretUses: 0, revokedTokens: 0, withinBound: 0, findings: 0, damages: 0 }
  let found: Finding[] = []
  /** Streams with an event that this code does not understand. Only the first such event of a stream is reported. */
  const unclear = createCompactMap(1)
  let notUnderstandable: Damage[] = []

  function read(event: StoredEvent): RecordedEvent | null {
    const upcasted = upcast(event)
    const reason = notUnderstood(event, upcasted)
    const known = upcasted.kind === 'event' ? upcasted.event : null
    const flaw = known && flawOf(known)
    const { stream, revision, position } = event
    const what = reason !== null ? `is of an ${reason}` : flaw && `cannot be used: ${flaw}`
    if (what !== null && !unclear.get(stream)) {
      unclear.add(stream)
      notUnderstandable.push({ stream, revision, position, what })
      sums.damages++
      if (isOfToken(event)) secrets.giveUp(tokenIdOf(stream))
    }
    return flaw === null ? known : null
  }

  function learn(event: StoredEvent, isSound: boolean): void {
    const id = tokenIdOf(event.stream)
    const token = tokens.get(id) ?? tokens.add(id)
    token.writeUInt32LE(isSound ? event.revision : UNKNOWABLE, NEWEST)
    if (!isSound) return secrets.giveUp(id)
    const known = read(event)
    if (known && isLifecycle(known)) secrets.learn(known)
    if (known?.type !== 'TokenRevoked' || token.readUInt32LE(REVOKED) > 0) return
    token.writeUInt32LE(event.revision + 1, REVOKED)
    token.writeDoubleLE(Date.parse(known.metadata.at), REVOKED_AT)
    sums.revokedTokens++
  }

  function checkUses(event: StoredEvent): void {
    const known = read(event)
    if (!known) return
    for (const entry of entriesOf(known)) checkUse(event, entry)
    if (known.type !== 'RetiredSecretsUsed') return
    for (const { count } of known.data.entries) sums.retiredSecretUses += count
  }

  function checkUse({ stream, revision }: StoredEvent, entry: UsageEntry): void {
    const { tokenId, tokenRevision, secret, firstAt, lastAt, count } = entry
    sums.uses += count
    const use = { tokenId, stream, revision, firstAt, lastAt, tokenRevision, secret }
    const certain = (what: string, revokedAt: string | null = null) =>
      found.push({
        kind: 'certain',
        what,
        ...use,
        uses: { atLeast: count, atMost: count },
        revokedAt,
        secretUntil: null,
        lateMs: null,
      })
    /** Uses on an older revision than that of the end. */
    const late = (end: number, what: string, of: 'revokedAt' | 'secretUntil'): void => {
      const limit = end + REVOCATION_BOUND_MS + audit.toleranceMs
      if (Date.parse(lastAt) <= limit) {
        if (Date.parse(lastAt) > end) sums.withinBound += count
        return
      }
      // All uses were decided on the same revision. Only the times of the first and the last use are known.
      const uses = Date.parse(firstAt) > limit ? exactly(count) : { atLeast: 1, atMost: count - 1 }
      const lateMs = Date.parse(lastAt) - end - REVOCATION_BOUND_MS
      const ends = { revokedAt: null, secretUntil: null, [of]: iso(end) }
      found.push({ kind: 'possible', what, ...use, uses, ...ends, lateMs })
    }

    const token = tokens.get(tokenId)
    if (!token) return void certain('accepted before the log knew of the token')
    if (tokenRevision > token.readUInt32LE(NEWEST))
      return void certain('accepted on a revision that the token did not have')
    const revoked = token.readUInt32LE(REVOKED) - 1
    const revokedAt = token.readDoubleLE(REVOKED_AT)
    if (revoked >= 0 && tokenRevision >= revoked)
      return void certain('accepted on a revision at which the token was revoked', iso(revokedAt))
    const flaw = secrets.flawOf(entry)
    if (flaw?.kind === 'certain') return void certain(flaw.what)
    const secretUntil = flaw?.until ?? Number.POSITIVE_INFINITY
    if (revoked >= 0 && revokedAt <= secretUntil)
      late(
        revokedAt,
        'accepted on an older revision than that of the revocation, after the bound',
        'revokedAt',
      )
    else if (flaw)
      late(secretUntil, 'accepted with a secret that had retired or ended, after the bound', 'secretUntil')
  }

  async function report(): Promise<void> {
    const batch = found
    found = []
    sums.findings += batch.length
    for (const finding of batch) await audit.onFinding(finding)
    const notices = notUnderstandable
    notUnderstandable = []
    for (const notice of notices) await audit.onDamage(notice)
  }

  const walked = await walkLog(store, {
    onEvent(event, isSound) {
      if (isOfToken(event)) learn(event, isSound)
      else if (isSound) checkUses(event)
    },
    onDamage: audit.onDamage,
    async onProgress(events) {
      await report()
      audit.onProgress?.(events)
    },
  })
  return { ...walked, ...sums, damages: walked.damages + sums.damages }
}

const exactly = (count: number): Finding['uses'] => ({ atLeast: count, atMost: count })
const iso = (millis: number): string => new Date(millis).toISOString()
