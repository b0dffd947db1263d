import type { LifecycleEvent, RecordedEvent } from '../../domain/events.ts'
import { tokenIdOf } from '../../domain/streams.ts'
import { FIRST_SECRET, type UsageEntry } from '../../domain/usageEntries.ts'

/** What a use says against its secret. */
export type SecretFlaw =
  /** No difference of clocks can explain it. */
  | { kind: 'certain'; what: string }
  /** The secret was accepted until this time, in milliseconds since 1970. */
  | { kind: 'late'; until: number }

/** Remembers, of tokens that were rotated, which secrets they have had, and how long each was accepted. */
export interface SecretLives {
  learn(event: LifecycleEvent): void
  /** Nothing can be said of the token's secrets any more, since an event of it is not understood. */
  giveUp(tokenId: string): void
  /** @returns null if the secret was good on the revision that the use was decided on, and is until its last use */
  flawOf(use: Pick<UsageEntry, 'tokenId' | 'secret' | 'tokenRevision' | 'lastAt'>): SecretFlaw | null
}

/**
 * The secrets of a token, three numbers for each: the revision that names it; the revision from which on it is dead,
 * whatever the time; until when it is accepted, in milliseconds since 1970.
 */
type Lives = number[]
const [REVISION, DEAD_FROM, UNTIL, WIDTH] = [0, 1, 2, 3]
const OPEN = Number.POSITIVE_INFINITY
const ONLY: Lives = [FIRST_SECRET, OPEN, OPEN]

/** Takes about 40 bytes of memory for each secret that a rotation brought. */
export function createSecretLives(): SecretLives {
  /** Null: nothing can be said. */
  const byToken = new Map<string, Lives | null>()

  /** @param only the one that stays; all others that are not dead have this end */
  function end(
    lives: Lives,
    only: (secret: number) => boolean,
    { from, at }: { from: number; at: number },
  ): void {
    for (let i = 0; i < lives.length; i += WIDTH) {
      if (lives[i + DEAD_FROM] !== OPEN || only(lives[i + REVISION] as number)) continue
      lives[i + DEAD_FROM] = from
      lives[i + UNTIL] = Math.min(lives[i + UNTIL] as number, at)
    }
  }

  function start(lives: Lives, { data, revision, metadata }: RecordedEvent<'TokenRotationStarted'>): void {
    const { activate, graceSeconds, beside } = data
    const at = Date.parse(metadata.at)
    const isActive = activate === 'now' && beside.retiresAt === null
    const staysBeside = (secret: number) => secret === beside.revision
    end(lives, isActive && graceSeconds === 0 ? () => false : staysBeside, { from: revision, at })
    const retiresAt = beside.retiresAt === null ? OPEN : Date.parse(beside.retiresAt)
    const until = isActive ? at + graceSeconds * 1000 : retiresAt
    end(lives, (secret) => !staysBeside(secret), { from: OPEN, at: until })
    lives.push(revision, OPEN, OPEN)
  }

  return {
    learn(event) {
      const tokenId = tokenIdOf(event.stream)
      const known = byToken.get(tokenId)
      if (known === null) return
      const lives = known ?? [...ONLY]
      const at = Date.parse(event.metadata.at)
      switch (event.type) {
        case 'TokenRotationStarted':
          start(lives, event)
          break
        case 'TokenSecretActivated': {
          const { revision: used, graceSeconds } = event.data
          if (graceSeconds === null) return
          end(lives, (secret) => secret === used, { from: OPEN, at: at + graceSeconds * 1000 })
          break
        }
        case 'TokenRotationEnded': {
          const { remaining } = event.data
          end(lives, (secret) => secret === remaining.revision, { from: event.revision, at })
          break
        }
        default:
          return
      }
      byToken.set(tokenId, lives)
    },

    giveUp: (tokenId) => void byToken.set(tokenId, null),

    flawOf({ tokenId, secret, tokenRevision, lastAt }) {
      const lives = byToken.get(tokenId) ?? (byToken.has(tokenId) ? null : ONLY)
      if (lives === null) return null
      for (let i = lives.length - WIDTH; i >= 0; i -= WIDTH) {
        if (lives[i + REVISION] !== secret) continue
        if (tokenRevision < secret)
          return {
            kind: 'certain',
            what: 'accepted with a secret that the token did not have on that revision',
          }
        if (tokenRevision >= (lives[i + DEAD_FROM] as number))
          return { kind: 'certain', what: 'accepted with a secret that was dead on that revision' }
        const until = lives[i + UNTIL] as number
        return Date.parse(lastAt) > until ? { kind: 'late', until } : null
      }
      return { kind: 'certain', what: 'accepted with a secret that the token never had' }
    },
  }
}
