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
   * Creates a token, or makes an expired one live again, if the account has room for it.
   * @throws Refusal; StoreUnavailableError; what `create` throws
   */
  within<T>(accountId: string, tokenId: string, create: () => Promise<T>): Promise<T>
}

/** How long a creation waits for those before it when the account is near its limit, in milliseconds. */
const PATIENCE_MS = 5_000
/**
 * How long the place of a creation lasts whose process has died, in milliseconds. That is longer than waiting and
 * creating may take together.
 */
const RESERVED_MS = 20_000
const PAUSE_MS = { first: 20, longest: 320 }

type Model = Pick<DocumentReader, 'count' | 'find'> & Reservations

/**
 * The limit is exact for all processes that share the read model, and yet creations do not wait for each other until an
 * account is near it. Each creation takes a place in the account's queue before it counts, and keeps the place until
 * its token is among those that are counted. It continues if there is room even if all places before it become tokens.
 * It is refused if the existing tokens fill the account. In between, it waits for the places before it. The first in
 * the queue waits for nobody, so one of them always continues.
 *
 * A process that stands still in the middle of a creation, for longer than its place lasts, can exceed the limit by
 * one.
 */
export function createAccountLimit(readModel: Model, clock: Clock, max: number): AccountLimit {
  const live = (accountId: string): Promise<number> =>
    readModel.count('tokens', tokensThat.active(accountId, iso(clock())), max)

  /** How many of these tokens are neither revoked nor expired, and how many are revoked. */
  async function statesOf(tokenIds: readonly string[]): Promise<{ live: number; revoked: number }> {
    const where: Condition[] = [{ field: 'id', op: 'in', value: tokenIds }]
    const found = await readModel.find('tokens', { where, order: 'any', limit: tokenIds.length })
    const at = iso(clock())
    const remaining = found.filter(({ phase }) => phase !== 'revoked')
    const isLive = ({ phase, expiresAt = null }: Document): boolean =>
      phase === 'active' && (expiresAt === null || (expiresAt as string) > at)
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
    // Some places may have become live tokens, which were counted as such. They are looked up before the count, so that
    // no token is missed by both. Places whose tokens are revoked by now will not count either. An expired token may be
    // about to get a new expiry.
    const those = await statesOf(ahead)
    const coming = ahead.length - those.live - those.revoked
    const there = await live(accountId)
    // The token itself may be among those counted, if it has not expired yet. Then it needs no other place. It is
    // looked up after the count, for the same reason.
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
      // This is checked last: if the process stood still meanwhile, it may have lost the place that has room.
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
      // Nobody waits for this, and a place ends by itself.
      const release = (): void => void readModel.release(accountId, reservation.id).catch(() => {})
      try {
        await admitted(accountId, reservation)
        const made = await create()
        release()
        return made
      } catch (error) {
        // If nobody knows whether there will be a token, its place is kept for as long as that may take.
        if (!(error instanceof UnknownOutcomeError)) release()
        throw error
      }
    },
  }
}
