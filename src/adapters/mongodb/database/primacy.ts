import { setTimeout as sleep } from 'node:timers/promises'
import type { Db, MongoClient, ServerDescription, TopologyDescription } from 'mongodb'
import { ageOf, type Instant, now } from '../../../application/ports/clock.ts'
import { StoreUnavailableError } from '../../../application/ports/errors.ts'

/**
 * Proof that the server which answers is the primary. One that has been cut off from the others goes on answering, from
 * what it knew, until it notices after some ten seconds that it is none any more. A linearizable read is answered only
 * by a server that a majority still follows.
 */
export interface Primacy {
  /** Which server is in sight as the primary, and since which election. Of a new one nothing is proven yet. */
  reign(): string
  /** Waits for a proof not older than a second, if there is none. @returns the reign it is of */
  ensure(): Promise<string>
  /** Asks anew. @throws for a server that cannot prove it */
  renew(): Promise<void>
  /** Asks beside whatever goes on, if the newest proof is older than this and none is on its way. */
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
/** At this age a new proof is asked for beside the read, so that under load nobody waits for one. */
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
 * Which primary a client knows, by its address and election: two clients that know the same one would get the same
 * answer. The last one counts while nobody knows.
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

/** How often a client is looked at that does not know the primary yet. */
const LOOK_MS = 20

/**
 * Reads from a server that is proven to be the primary. The proof is of one server in one reign: what another client has
 * read from the same one in the same reign is proven by it as well. Clients hear of a new primary at different times, and
 * the one that is late is waited for.
 * @param reignSeen the one that the client which reads knows of
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

/** Who it is and since which election; null while nobody knows. */
function primaryOf({ servers }: TopologyDescription): string | null {
  const primary = [...servers.values()].find((server: ServerDescription) => server.type === 'RSPrimary')
  return primary ? `${primary.address} ${primary.electionId?.toHexString()}` : null
}
