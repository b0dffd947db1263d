import { setTimeout as sleep } from 'node:timers/promises'
import * as tokensThat from '../readModel/statuses.ts'
import { Refusal } from '../../domain/errors.ts'
import { ids } from '../eventLog/ids.ts'
import { ageOf, type Clock, iso, now } from '../ports/clock.ts'
import type { Condition, Document } from '../ports/documents.ts'
import type { Queued } from '../ports/sharing.ts'
import type { DocumentReader, Reservations } from '../ports/readModel.ts'
import { UnknownOutcomeError } from '../ports/errors.ts'

export interface AccountLimit {
  /**
   * Runs the creation of a token, or what makes an expired one live again, if the account has room for it.
   * @throws Refusal; StoreUnavailableError; what the creation throws
   */
  within<T>(accountId: string, tokenId: string, create: () => Promise<T>): Promise<T>
}

/** How long the creations before one are waited for, near the limit. */
const PATIENCE_MS = 5_000
/** How long a creation whose process has died takes a place: longer than waiting and creating may last together. */
const RESERVED_MS = 20_000
const PAUSE_MS = { first: 20, longest: 320 }

type Model = Pick<DocumentReader, 'count' | 'find'> & Reservations

/**
 * Exact over all processes that share the read model, and without making creations wait for each other until an account
 * is near its limit. Each takes a place in the account's queue before it counts, and keeps it until its token is among
 * those that are counted. It goes on if there is room even should all before it come to be tokens, and is refused if the
 * tokens that are there fill the account; between the two it waits for those before it. The first of a queue waits for
 * nobody, so that there is always one that goes on.
 *
 * A process that stands still for longer than a place is kept, in the middle of a creation, can pass the limit by one.
 */
export function createAccountLimit(readModel: Model, clock: Clock, max: number): AccountLimit {
  const live = (accountId: string): Promise<number> =>
    readModel.count('tokens', tokensThat.active(accountId, iso(clock())), max)

  /** How many of these tokens are there, neither revoked nor expired; and how many are revoked. */
  async function statesOf(tokenIds: readonly string[]): Promise<{ live: number; revoked: number }> {
    const where: Condition[] = [{ field: 'id', op: 'in', value: tokenIds }]
    const found = await readModel.find('tokens', { where, order: 'any', limit: tokenIds.length })
    const at = iso(clock())
    const remaining = found.filter(({ revoked }) => revoked !== true)
    const isLive = ({ expiresAt = null }: Document): boolean =>
      expiresAt === null || (expiresAt as string) > at
    return { live: remaining.filter(isLive).length, revoked: found.length - remaining.length }
  }

  async function roomBehind(
    accountId: string,
    ahead: readonly string[],
    tokenId: string,
  ): Promise<'room' | 'full' | 'unsure'> {
    const assess = (there: number, coming: number) =>
      there >= max ? 'full' : there + coming < max ? 'room' : 'unsure'
    const assessed = assess(await live(accountId), ahead.length)
    if (assessed === 'room') return assessed
    // Some may be live by now, and were counted as such. Looked for before the count, none is missed by both.
    // Nor does one come that is revoked by now; one that has expired may be about to get a new expiry.
    const those = await statesOf(ahead)
    const coming = ahead.length - those.live - those.revoked
    const there = await live(accountId)
    // One that has not expired yet is among them, and needs no other place. Looked for after the count, for the same reason.
    return assess(there - (await statesOf([tokenId])).live, coming)
  }

  async function admitted(accountId: string, reservation: Queued): Promise<void> {
    const begun = now()
    let queue = await readModel.reserve(accountId, { ...reservation, ttlMs: RESERVED_MS })
    for (let pause = PAUSE_MS.first; ; pause = Math.min(pause * 2, PAUSE_MS.longest)) {
      const place = queue.findIndex(({ id }) => id === reservation.id)
      const ahead = queue.slice(0, place).map(({ holds }) => holds)
      const room = await roomBehind(accountId, ahead, reservation.holds)
      if (room === 'full') {
        throw new Refusal(
          'token_limit_reached',
          `An account may have ${max} tokens that are neither revoked nor expired.`,
        )
      }
      // Looked at last: who stood still meanwhile may have lost the place that there is room behind.
      if (place < 0 || ageOf(begun) > PATIENCE_MS)
        throw new Refusal('conflict', 'Other tokens of this account are being made: try again.')
      if (room === 'room') return
      await sleep(pause * (0.5 + Math.random() / 2))
      queue = await readModel.queue(accountId)
    }
  }

  return {
    async within(accountId, tokenId, create) {
      const reservation = { id: ids.random(), holds: tokenId }
      // Nobody waits for it, and it ends by itself.
      const release = (): void => void readModel.release(accountId, reservation.id).catch(() => {})
      try {
        await admitted(accountId, reservation)
        const made = await create()
        release()
        return made
      } catch (error) {
        // Where nobody knows whether a token comes of it, its place is kept for as long as that may take.
        if (!(error instanceof UnknownOutcomeError)) release()
        throw error
      }
    },
  }
}
