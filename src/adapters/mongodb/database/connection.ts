import { type Db, type DbOptions, MongoClient, type MongoClientOptions, ReadConcern } from 'mongodb'
import { StoreUnavailableError } from '../../../application/ports/errors.ts'
import { toWriteError, within } from './errors.ts'
import { createPrimacy, followPrimary, type Primacy, readProven, undisputed } from './primacy.ts'

/** A request waits for a read; a write may wait for a disk. */
const READ_MS = 800
const WRITE_MS = 3_000

export interface Connection {
  /** Without user, password and options. */
  shown: string
  /** Null on a server that is no member of a replica set, which has no change streams. */
  replicaSet: { client: MongoClient; database: Db; primacy: Primacy } | null
  /** Reads what a majority has, from a server that was the primary within the last second. */
  read<T>(work: (database: Db) => Promise<T>): Promise<T>
  /** The same on connections of its own, for what all others depend on: never more than a few at once. */
  control<T>(work: (database: Db) => Promise<T>): Promise<T>
  /** The same as `control`, from a server that has proven it since this was called. */
  controlAnew<T>(work: (database: Db) => Promise<T>): Promise<T>
  /** What is answered is on the disks of a majority. May be called again: a failure may come after the effect. */
  write<T>(work: (database: Db) => Promise<T>): Promise<T>
  /** @throws StoreUnavailableError it is closed */
  assertOpen(): void
  close(): Promise<void>
}

/** Given with the database: what a connection string says wins over the client's options. */
const CONCERNS: DbOptions = {
  readPreference: 'primary',
  readConcern: new ReadConcern('majority'),
  // Without `journal` the server waits for its own interval, which takes longer.
  writeConcern: { w: 'majority', journal: true },
}

const COMMON: MongoClientOptions = {
  appName: 'tokenledger',
  ignoreUndefined: true,
  connectTimeoutMS: 500,
  serverSelectionTimeoutMS: 500,
  waitQueueTimeoutMS: 500,
  heartbeatFrequencyMS: 500,
}

/** The change stream, the proof of the primary and the generation pointers, each one at a time. */
const CONTROL = { socketTimeoutMS: 600, retryReads: false, maxPoolSize: 8 }
/** More than gates let in at once, so that what is known to be good finds a connection beside them. */
const READS = { socketTimeoutMS: 600, retryReads: false, maxPoolSize: 64 }
const WRITES = { socketTimeoutMS: 2_000, serverSelectionTimeoutMS: 1_000, maxPoolSize: 64 }

/** @throws StoreUnavailableError; Error for what is no connection string, without showing it */
export async function connect(url: string): Promise<Connection> {
  // A client for each kind of work, since the connections belong to the client, and the time a socket waits: however
  // much is read, the change stream is heard, and however much is read or written, the other goes on.
  const control = clientOf(url, { ...COMMON, ...CONTROL })
  const reads = clientOf(url, { ...COMMON, ...READS })
  const writes = clientOf(url, { ...COMMON, ...WRITES })
  const name = databaseIn(url)
  const database = control.db(name, CONCERNS)
  let closed = false

  async function closeAll(): Promise<void> {
    closed = true
    await Promise.all([control.close(), reads.close(), writes.close()])
  }

  function assertOpen(): void {
    // The driver would connect again.
    if (closed) throw new StoreUnavailableError('the connection to MongoDB is closed')
  }

  const onceOpen =
    <T>(client: MongoClient, work: (database: Db) => Promise<T>) =>
    (): Promise<T> => {
      assertOpen()
      return work(client.db(name, CONCERNS))
    }

  const primacyOfMember = createPrimacy(control, database)
  const primaryOfReads = followPrimary(reads)
  const [isMember] = await within(WRITE_MS, Promise.all([isInReplicaSet(control), reads.connect()])).catch(
    async (error: unknown) => {
      await closeAll()
      throw error
    },
  )
  const primacy = isMember ? primacyOfMember : undisputed
  const reignOfReads = isMember ? primaryOfReads : primacy.reign

  const controlled = <T>(work: (database: Db) => Promise<T>): Promise<T> =>
    readProven(primacy, primacy.reign, onceOpen(control, work), READ_MS)

  return {
    shown: url.replace(/\/\/[^/?]*@/, '//').replace(/\?.*$/, ''),
    replicaSet: isMember ? { client: control, database, primacy } : null,
    async read(work) {
      assertOpen()
      return within(READ_MS, readProven(primacy, reignOfReads, onceOpen(reads, work), READ_MS))
    },
    async control(work) {
      assertOpen()
      return within(READ_MS, controlled(work))
    },
    async controlAnew(work) {
      assertOpen()
      return within(
        READ_MS,
        primacy.renew().then(() => controlled(work)),
      )
    },
    async write(work) {
      assertOpen()
      return within(WRITE_MS, work(writes.db(name, CONCERNS)), toWriteError)
    },
    assertOpen,
    async close() {
      if (!closed) await closeAll()
    },
  }
}

async function isInReplicaSet(client: MongoClient): Promise<boolean> {
  const { setName } = await client.db('admin').command({ hello: 1 })
  return setName !== undefined
}

function clientOf(url: string, options: MongoClientOptions): MongoClient {
  try {
    return new MongoClient(url, options)
  } catch {
    // Not even as a cause: the driver's error quotes pieces of it.
    throw new Error('the MongoDB connection string cannot be used')
  }
}

/** The driver does not tell its own default from a database that was named. */
function databaseIn(url: string): string {
  const [, name = ''] = /^[^/]*\/\/[^/]*\/([^?]*)/.exec(url) ?? []
  return decodeURIComponent(name) || 'tokenledger'
}
