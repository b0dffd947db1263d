import { ageOf, type Instant } from '../ports/clock.ts'

/** Acknowledged appends of this process, and how far the log has been applied to its documents. */
export interface Proofs {
  /** The store has acknowledged an append that began at this moment. */
  acknowledged(proof: Proof): void
  /** Everything up to this position is applied. */
  applied(position: string): void
  /**
   * The documents may be older than they were, or what comes next may be another log: no append counts that has begun
   * before, whether it is applied, acknowledged, or under way.
   */
  forget(): void
  /** Can an append still count that began at this moment? */
  isValid(begun: Instant): boolean
  /** Is everything applied that was acknowledged to anybody before this moment? */
  isSince(moment: Instant): boolean
  /** Will it be, when what is acknowledged is applied? */
  isComingSince(moment: Instant): boolean
  /** Milliseconds since the newest proof began. Infinity: there is none. */
  age(): number
}

export interface Proof {
  begun: Instant
  /** Where the last event of the append stands in the log. */
  position: string
}

/** Appends that are not applied yet; of more, every second one is as good. */
const PENDING_CAP = 64

/** A look-up is trusted for as long after the beginning of a proof, in milliseconds. */
export const TRUSTED_MS = 2_000

/** @param onProven called after new proofs */
export function createProofs(now: () => Instant, onProven: () => void): Proofs {
  let pending: Proof[] = []
  let appliedTo = ''
  let newest: Instant | null = null
  let forgotten: Instant | null = null

  const isValid = (begun: Instant): boolean => forgotten === null || begun.monotonic > forgotten.monotonic
  const isAfter = (begun: Instant | null, moment: Instant): boolean =>
    begun !== null && begun.monotonic > moment.monotonic

  function prove(proven: readonly Proof[]): void {
    for (const { begun } of proven) if (newest === null || isAfter(begun, newest)) newest = begun
    if (proven.length > 0) onProven()
  }

  return {
    acknowledged(proof) {
      if (!isValid(proof.begun)) return
      // The subscription may be faster than the answer.
      if (proof.position <= appliedTo) return prove([proof])
      if (pending.length >= PENDING_CAP) pending = pending.filter((_, i) => i % 2 === 1)
      pending.push(proof)
    },
    applied(position) {
      appliedTo = position
      const proven = pending.filter((proof) => proof.position <= position)
      pending = pending.filter((proof) => proof.position > position)
      prove(proven)
    },
    forget() {
      pending = []
      appliedTo = ''
      newest = null
      forgotten = now()
    },
    isValid,
    isSince: (moment) => isAfter(newest, moment),
    isComingSince: (moment) => pending.some(({ begun }) => isAfter(begun, moment)),
    age: () => (newest === null ? Number.POSITIVE_INFINITY : ageOf(newest, now())),
  }
}
