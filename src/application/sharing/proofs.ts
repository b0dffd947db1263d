import { ageOf, type Instant } from '../ports/clock.ts'

/** Acknowledged appends of this process, and how far the log has been applied to its documents. */
export interface Proofs {
  /** The store has acknowledged an append that began at this moment. */
  acknowledged(proof: Proof): void
  /** Everything up to this position is applied. */
  applied(position: string): void
  /** The documents may be older than they were: nothing is known of them. */
  forget(): void
  /** Is everything applied that was acknowledged to anybody before this moment? */
  isSince(moment: Instant): boolean
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

/** @param onProven called after each proof */
export function createProofs(now: () => Instant, onProven: () => void): Proofs {
  let pending: Proof[] = []
  let appliedTo = ''
  let newest: Instant | null = null

  const age = (): number => (newest === null ? Number.POSITIVE_INFINITY : ageOf(newest, now()))

  function prove(begun: Instant): void {
    if (newest === null || newest.monotonic < begun.monotonic) newest = begun
    onProven()
  }

  return {
    acknowledged(proof) {
      // The subscription may be faster than the answer.
      if (proof.position <= appliedTo) return prove(proof.begun)
      if (pending.length >= PENDING_CAP) pending = pending.filter((_, i) => i % 2 === 1)
      pending.push(proof)
    },
    applied(position) {
      appliedTo = position
      if (pending.length === 0) return
      const proven = pending.filter((proof) => proof.position <= position)
      pending = pending.filter((proof) => proof.position > position)
      for (const { begun } of proven) prove(begun)
    },
    forget() {
      appliedTo = ''
      newest = null
    },
    // A proof that one of the clocks takes for old is none, however young it is by the other.
    isSince: (moment) => newest !== null && newest.monotonic > moment.monotonic && age() < TRUSTED_MS,
    age,
  }
}
