import { setTimeout as sleep } from 'node:timers/promises'
import type { Db, MongoClient, ServerDescription, TopologyDescription } from 'mongodb'
import { ageOf, type Instant, now } from '../../../application/ports/clock.ts'
import { StoreUnavailableError } from '../../../application/ports/errors.ts'

/**
 * Proof that the server which answers is the primary. A primary that was cut off from the others goes on answering with
 * old data, until it notices after some ten seconds that it is no longer primary. A linearizable read is answered only
 * by a server that a majority still follows.
 */
export interface Primacy {
  /** Names the server that is known as the primary, and its election. For a new one there is no proof yet. */
  reign(): string
  /** Waits until there is a proof that is less than a second old. @returns the reign that it proves */
  ensure(): Promise<string>
  /** Asks for a new proof. @throws if the server cannot give one */
  renew(): Promise<void>
  /** Asks for a new proof in the background, if the newest is older than this and none has been asked for. */
  keepFresh(ms: number): void
  /** When the newest proof was asked for. */
  provenAt(): Instant | null
}

/** For a server without a replica set. */
export const undisputed: Primacy = {
  reign: () => '',
  ensure: async () => '',
  async renew() {},
  keepFresh() {},
  provenAt: now,
}

const TRUSTED_MS = 1_000
/** At this age a new proof is asked for in the background, so that under load no read waits for one. */
const RENEWED_MS = 500
const MAX_TIME_MS = 500

export function createPrimacy(client: MongoClient, database: Db): Primacy {
  let proven: Instant | null = null
  let asked: Promise<void> | null = null
  const reign = followPrimary(client, () => {
    proven = null
  })

  async function renew(): Promise<void> {
    const [at, of] = [now(), reign()]
    await database
      .collection<{ _id: string }>('leases')
      .findOne({ _id: 'any' }, { readConcern: { level: 'linearizable' }, maxTimeMS: MAX_TIME_MS })
    if (of === reign() && (proven === null || proven.monotonic < at.monotonic)) proven = at
  }

  function renewOnce(): Promise<void> {
    asked ??= renew().finally(() => {
      asked = null
    })
    return asked
  }

  const age = (): number => (proven === null ? Number.POSITIVE_INFINITY : ageOf(proven))

  function keepFresh(ms: number): void {
    if (age() > ms) renewOnce().catch(() => {})
  }

  return {
    reign,
    async ensure() {
      while (age() > TRUSTED_MS) await renewOnce()
      keepFresh(RENEWED_MS)
      return reign()
    },
    renew,
    keepFresh,
    provenAt: () => proven,
  }
}

/**
 * Which primary a client knows, as text made of its address and election. Two clients with the same text read from the
 * same primary. While the client knows none, the last one counts.
 */
export function followPrimary(client: MongoClient, onChanged: () => void = () => {}): () => string {
  let primary = ''
  client.on('topologyDescriptionChanged', ({ newDescription }) => {
    const seen = primaryOf(newDescription)
    if (seen === null || seen === primary) return
    primary = seen
    onChanged()
  })
  return () => primary
}

/** The pause before a client is asked again that does not know the new primary yet. */
const LOOK_MS = 20

/**
 * Reads from a server that is proven to be the primary. A proof is for one server in one reign, and covers what another
 * client reads from that server in that reign. Clients learn of a new primary at different times, so this waits for the
 * later one.
 * @param reignSeen the reign that the reading client knows of
 */
export async function readProven<T>(
  primacy: Pick<Primacy, 'reign' | 'ensure'>,
  reignSeen: () => string,
  read: () => Promise<T>,
  ms: number,
): Promise<T> {
  const giveUpAt = performance.now() + ms
  while (performance.now() < giveUpAt) {
    const reign = await primacy.ensure()
    if (reign === reignSeen()) {
      const answer = await read()
      if (reign === primacy.reign() && reign === reignSeen()) return answer
    } else await sleep(LOOK_MS)
  }
  throw new StoreUnavailableError('it is not known which MongoDB server is the primary')
}

/** The address and election of the primary; null while the client knows none. */
function primaryOf({ servers }: TopologyDescription): string | null {
  const primary = [...servers.values()].find((server: ServerDescription) => server.type === 'RSPrimary')
  return primary ? `${primary.address} ${primary.electionId?.toHexString()}` : null
}
