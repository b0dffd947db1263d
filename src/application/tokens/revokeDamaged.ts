import { storedChain } from '../../domain/chain.ts'
import { staleRevision } from '../../domain/decide.ts'
import { DamagedError, Refusal } from '../../domain/errors.ts'
import type { LifecycleEvent, NewEvent, StoredEvent } from '../../domain/events.ts'
import { tokenStream } from '../../domain/streams.ts'
import { appendUntilKnown } from '../eventLog/append.ts'
import { readPastDamage } from '../eventLog/pastDamage.ts'
import type { Patience } from '../eventLog/patience.ts'
import { ConflictError } from '../ports/errors.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { Telemetry } from '../ports/telemetry.ts'

interface Deps {
  store: EventStore
  project: (events: readonly LifecycleEvent[]) => Promise<void>
  /** Stops all use of a token, whatever its events say. */
  close: (tokenId: string, reason: string) => Promise<void>
  telemetry: Telemetry
  patience?: Patience | undefined
}

const MAX_ATTEMPTS = 20

/**
 * Revokes a token whose history no longer shows what it is. The event is linked to the last event that is there, so
 * that the revocation stays valid whatever happens to the others. If nothing can be written, the token is closed.
 * @param damage what was found
 * @param revocation the event, linked to a chain
 * @returns was the event written? If not, the last one was a revocation already
 * @throws Refusal; errors of `append`
 */
export async function revokeDamaged(
  deps: Deps,
  { tokenId, seen, ifMatch }: { tokenId: string; seen: number; ifMatch: (revision: number) => boolean },
  damage: DamagedError,
  revocation: (chain: string) => NewEvent<LifecycleEvent['type']>,
): Promise<boolean> {
  const stream = tokenStream(tokenId)
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const last = await lastEvent(deps.store, stream, seen)
    if (last && last !== 'damaged' && last.type === 'TokenRevoked') {
      await deps.project([last as LifecycleEvent])
      return false
    }
    if (!ifMatch(seen)) throw staleRevision()
    // There is no event, or none that another could follow.
    if (!last || last === 'damaged') {
      deps.telemetry.log.error({ stream, err: damage }, 'a damaged token cannot be revoked')
      await deps.close(tokenId, damage.message)
      throw damagedToken('nothing can be written behind its last event. It is accepted nowhere')
    }
    const event = revocation(storedChain(last))
    try {
      const { position } = await appendUntilKnown(deps, stream, last.revision, [event])
      await deps.project([{ ...event, stream, revision: last.revision + 1, position }])
      return true
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error
    }
  }
  throw new Refusal('conflict', 'Too many changes to this token at the same time.')
}

/** The last event from `from` on, skipping damaged ones. */
async function lastEvent(
  store: EventStore,
  stream: string,
  from: number,
): Promise<StoredEvent | 'damaged' | null> {
  let last: StoredEvent | 'damaged' | null = null
  for await (const { events, damage } of readPastDamage(store, stream, Math.max(0, from)))
    last = (damage ? 'damaged' : events.at(-1)) ?? last
  return last !== 'damaged' && last?.metadata === null ? 'damaged' : last
}

/** For damage that is only found by the work. @throws Refusal in its place, which says `advice` */
export async function refusingDamage<T>(
  { telemetry }: { telemetry: Pick<Telemetry, 'log'> },
  { tokenId, advice }: { tokenId: string; advice: string },
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error
    telemetry.log.error({ err: error, tokenId }, 'the history of a token is damaged')
    throw damagedToken(advice)
  }
}

export const damagedToken = (what: string): Refusal =>
  new Refusal('token_damaged', `The history of the token is damaged: ${what}.`)
