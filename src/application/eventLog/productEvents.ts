import { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { isSignal, STREAMS } from '../../domain/streams.ts'
import type { EventStore } from '../ports/eventStore.ts'

/**
 * The product's events in log order, behind the position `after` and up to `end`. An EventStoreDB may hold the events
 * of other applications as well; they are left out, and so are the signals of processes to each other.
 */
export async function* productEvents(
  store: EventStore,
  end?: string,
  after: string | null = null,
): AsyncGenerator<StoredEvent[], void, undefined> {
  for await (const batch of store.readAll(after)) {
    const within = end === undefined ? batch : batch.filter(({ position }) => position <= end)
    for (const event of within) if (isNameless(event)) await assertForeign(store, event)
    yield within.filter(isOfProduct)
    if (within.length < batch.length) return
  }
}

export const isOfProduct = ({ stream }: StoredEvent): boolean =>
  STREAMS.some((prefix) => stream.startsWith(prefix))

const isNameless = (event: StoredEvent): boolean =>
  event.data === null && event.metadata === null && !isOfProduct(event) && !isSignal(event)

async function assertForeign(store: EventStore, event: StoredEvent): Promise<void> {
  if (await isForeign(store, event)) return
  throw new DamagedError(`The event at position ${event.position} is damaged and nothing says whose it is.`)
}

/**
 * Is it another application's event? One that cannot be read may have lost its name, so the named stream has to have
 * it.
 */
export async function isForeign(
  store: EventStore,
  { stream, revision, position }: StoredEvent,
): Promise<boolean> {
  const [found] = await store.readStream(stream, revision, 1).catch((error: unknown) => {
    if (error instanceof DamagedError) return []
    throw error
  })
  return found?.position === position
}

export const placeOf = ({ stream, revision, position }: StoredEvent): string =>
  `revision ${revision} of ${stream}, at position ${position},`
