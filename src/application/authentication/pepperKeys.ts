import { genesis, link, storedChain } from '../../domain/chain.ts'
import { fingerprintOf, type Pepper, PLAIN_KEY_ID } from '../../domain/credential.ts'
import type { NewEvent } from '../../domain/events.ts'
import { PEPPER_STREAM } from '../../domain/streams.ts'
import { upcast } from '../../domain/upcast.ts'
import type { Ids } from '../eventLog/ids.ts'
import { systemEvent } from '../eventLog/systemEvent.ts'
import type { Clock } from '../ports/clock.ts'
import { ConflictError } from '../ports/errors.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import type { Logger } from '../ports/telemetry.ts'
import * as tokensThat from '../readModel/statuses.ts'

/** A key of this process is not the one that made the hashes under its id. */
export class WrongPepperError extends Error {
  override name = 'WrongPepperError'

  constructor(keyIds: readonly string[]) {
    const keys = keyIds.length === 1 ? `the key ${keyIds[0]} is` : `the keys ${keyIds.join(' and ')} are`
    super(
      `TOKEN_PEPPERS: ${keys} not what made the hashes in this event store, so none of their tokens would be found. Set the right key, or give the new one an id of its own in front of the others`,
    )
  }
}

export interface PepperKeys {
  /** @throws WrongPepperError; StoreUnavailableError */
  check(): Promise<void>
  /**
   * To be called before a hash is stored that the first key has made.
   * @throws WrongPepperError; what the stores throw
   */
  beforeHash(): Promise<void>
  /** A token was found by a hash that this key has made, so it is the right one. Written down in the background. */
  matched(keyId: string): void
  stop(): Promise<void>
}

interface Dependencies {
  store: EventStore
  readModel: Pick<DocumentReader, 'find'>
  peppers: readonly Pepper[]
  clock: Clock
  ids: Ids
  instance: string
  log: Pick<Logger, 'warn'>
}

/** @throws WrongPepperError; StoreUnavailableError */
export const checkPepperKeys = async (
  store: Pick<EventStore, 'readStream'>,
  peppers: readonly Pepper[],
): Promise<void> => assertRight(peppers, await readKnown(store))

function assertRight(peppers: readonly Pepper[], { fingerprints }: Known): void {
  const wrong = peppers.filter((pepper) => {
    const known = fingerprints.get(pepper.id)
    return known !== undefined && known !== fingerprintOf(pepper)
  })
  if (wrong.length > 0) throw new WrongPepperError(wrong.map(({ id }) => id))
}

/** The known keys, and the place where the next one is written. */
interface Known {
  fingerprints: ReadonlyMap<string, string>
  revision: number
  chain: string
}

/**
 * Remembers, in a stream of the event store's own, which key made the hashes under each id. A process with another key
 * under the same id finds no token, and would answer 401 to all of them. A key is written down when it is first known to
 * be right: a hash that it made was found, or no token has its id yet.
 */
export function createPepperKeys({ store, readModel, peppers, log, ...deps }: Dependencies): PepperKeys {
  /** Keys of which the store has the right fingerprint. */
  const sure = new Set<string>([PLAIN_KEY_ID])
  const underWay = new Map<string, Promise<void>>()

  /** @throws WrongPepperError for a key that is known by another fingerprint */
  async function known(): Promise<Known> {
    const found = await readKnown(store)
    assertRight(peppers, found)
    for (const { id } of peppers) if (found.fingerprints.has(id)) sure.add(id)
    return found
  }

  async function writeDown(pepper: Pepper): Promise<void> {
    for (;;) {
      const { revision, chain } = await known()
      if (sure.has(pepper.id)) return
      const data = { keyId: pepper.id, fingerprint: fingerprintOf(pepper) }
      const [event] = link(chain, [systemEvent({ type: 'PepperUsed', data }, deps)])
      try {
        await store.append(PEPPER_STREAM, revision < 0 ? 'no_stream' : revision, [event as NewEvent])
        sure.add(pepper.id)
        return
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error
      }
    }
  }

  /** Of several that want the same, one does it. */
  function once(pepper: Pepper): Promise<void> {
    const running = underWay.get(pepper.id)
    if (running) return running
    const started = writeDown(pepper).finally(() => underWay.delete(pepper.id))
    underWay.set(pepper.id, started)
    return started
  }

  const isUsed = async (keyId: string): Promise<boolean> => {
    const any = async (field: string): Promise<boolean> => {
      const ofKey = { field, op: 'eq', value: keyId } as const
      const where = tokensThat.inAnyPhase(null).map((of) => [...of, ofKey])
      const found = await Promise.all(where.map((one) => readModel.find('tokens', { where: one, limit: 1 })))
      return found.some((tokens) => tokens.length > 0)
    }
    return (await any('hashKeyId')) || (await any('newerHashKeyId'))
  }

  return {
    async check() {
      await known()
    },
    async beforeHash() {
      const [signing] = peppers
      if (!signing || sure.has(signing.id)) return
      // If tokens have its id already, only a match can show that it is the right one.
      await known()
      if (sure.has(signing.id) || (await isUsed(signing.id))) return
      await once(signing)
    },
    matched(keyId) {
      const pepper = peppers.find(({ id }) => id === keyId)
      if (!pepper || sure.has(keyId) || underWay.has(keyId)) return
      once(pepper).catch((err: unknown) =>
        log.warn({ err, keyId }, 'a key that matches is not written down yet'),
      )
    },
    async stop() {
      await Promise.allSettled(underWay.values())
    },
  }
}

async function readKnown(store: Pick<EventStore, 'readStream'>): Promise<Known> {
  const fingerprints = new Map<string, string>()
  const stored = await store.readStream(PEPPER_STREAM, 0)
  for (const event of stored) {
    const known = upcast(event)
    if (known.kind !== 'event' || known.event.type !== 'PepperUsed') continue
    const { keyId, fingerprint } = known.event.data
    if (!fingerprints.has(keyId)) fingerprints.set(keyId, fingerprint)
  }
  const last = stored.at(-1)
  return {
    fingerprints,
    revision: last?.revision ?? -1,
    chain: last ? storedChain(last) : genesis(PEPPER_STREAM),
  }
}
