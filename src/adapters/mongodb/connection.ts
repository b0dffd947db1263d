import { type Db, type DbOptions, MongoClient, type MongoClientOptions, ReadConcern } from 'mongodb'
import { StoreUnavailableError } from '../../application/ports.ts'
import { toWriteError, within } from './errors.ts'
import { createPrimacy, type Primacy, undisputed } from './primacy.ts'

/** A request waits for a read; a write may wait for a disk. */
const READ_MS = 800
const WRITE_MS = 3_000

export interface Connection {
  /** Null on a server that is no member of a replica set, which has no change streams. */
  replicaSet: { client: MongoClient; database: Db; primacy: Primacy } | null
  /** Reads what a majority has, from a server that was the primary within the last second. */
  read<T>(work: (database: Db) => Promise<T>): Promise<T>
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

/** @throws StoreUnavailableError; Error for what is no connection string, without showing it */
export async function connect(url: string): Promise<Connection> {
  // Two clients, since the time a socket waits belongs to the client. One primary may be known to them at different
  // times: what is proven of one says nothing of the other.
  const reads = clientOf(url, { ...COMMON, socketTimeoutMS: 600, retryReads: false })
  const writes = clientOf(url, { ...COMMON, socketTimeoutMS: 2_000, serverSelectionTimeoutMS: 1_000 })
  const name = databaseIn(url)
  const database = reads.db(name, CONCERNS)
  let closed = false

  async function closeAll(): Promise<void> {
    closed = true
    await Promise.all([reads.close(), writes.close()])
  }

  function assertOpen(): void {
    // The driver would connect again.
    if (closed) throw new StoreUnavailableError('the connection to MongoDB is closed')
  }

  const primacyOfReads = createPrimacy(reads, database)
  const isMember = await within(WRITE_MS, isInReplicaSet(reads)).catch(async (error: unknown) => {
    await closeAll()
    throw error
  })
  const primacy = isMember ? primacyOfReads : undisputed

  async function readProven<T>(work: (database: Db) => Promise<T>): Promise<T> {
    for (;;) {
      const reign = await primacy.ensure()
      const answer = await work(database)
      if (reign === primacy.reign()) return answer
    }
  }

  return {
    replicaSet: isMember ? { client: reads, database, primacy } : null,
    async read(work) {
      assertOpen()
      return within(READ_MS, readProven(work))
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
