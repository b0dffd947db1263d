import { type Db, type DbOptions, MongoClient, type MongoClientOptions, ReadConcern } from 'mongodb'
import { StoreMisconfiguredError, StoreUnavailableError } from '../../../application/ports/errors.ts'
import { toWriteError, within } from './errors.ts'
import { connectionFault, named } from './misconfigured.ts'
import { createPrimacy, followPrimary, type Primacy, readProven, undisputed } from './primacy.ts'

/** Limits of one read and one write. A request waits for a read, while a write may have to wait for a disk. */
const READ_MS = 800
const WRITE_MS = 3_000

export interface Connection {
  /** The address, without user, password and options. */
  shown: string
  /** Null for a server that is not a member of a replica set, and so has no change streams. */
  replicaSet: { client: MongoClient; database: Db; primacy: Primacy } | null
  /** Reads what a majority has, from a server that is proven to have been the primary within the last second. */
  read<T>(work: (database: Db) => Promise<T>): Promise<T>
  /** The same on separate connections, for the few reads that all others depend on. */
  control<T>(work: (database: Db) => Promise<T>): Promise<T>
  /** The same as `control`, but with a proof that was asked for after this call. */
  controlAnew<T>(work: (database: Db) => Promise<T>): Promise<T>
  /**
   * Resolves once the write is on the disks of a majority. It may fail after it took effect, so it must be repeatable.
   */
  write<T>(work: (database: Db) => Promise<T>): Promise<T>
  /** @throws StoreUnavailableError if it is closed */
  assertOpen(): void
  close(): Promise<void>
}

/** Passed with each database, since options in a connection string would override those of the client. */
const CONCERNS: DbOptions = {
  readPreference: 'primary',
  readConcern: new ReadConcern('majority'),
  // Without `journal` the server waits for its own flush interval, which takes longer.
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

/** For the change stream, the proof of the primary, and the generation pointers, each one at a time. */
const CONTROL = { socketTimeoutMS: 600, retryReads: false, maxPoolSize: 8 }
/** More connections than the gates let in, so that reads for known good credentials always find one. */
const READS = { socketTimeoutMS: 600, retryReads: false, maxPoolSize: 64 }
const WRITES = {
  socketTimeoutMS: 2_000,
  serverSelectionTimeoutMS: 1_000,
  waitQueueTimeoutMS: 2_000,
  maxPoolSize: 64,
}

/**
 * @param called names the address in messages. Default: the address without user, password and options
 * @throws StoreUnavailableError; Error for text that is no connection string, without showing it
 */
export async function connect(url: string, called?: string): Promise<Connection> {
  const shown = url.replace(/\/\/[^/?]*@/, '//').replace(/\?.*$/, '')
  const inTime = <T>(ms: number, work: Promise<T>, translate?: typeof toWriteError): Promise<T> =>
    within(ms, work, translate).catch((error: unknown) => {
      throw named(called ?? shown, error)
    })

  // Each kind of work has a client, since connections and the time-outs of sockets belong to a client. So many reads or
  // writes cannot delay each other, or the change stream.
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
    // Without this check, the driver would simply connect again.
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
  const opening = Promise.all([isInReplicaSet(control), reads.connect()])
  let cause: unknown
  opening.catch((error: unknown) => {
    cause = error
  })
  const [isMember] = await inTime(WRITE_MS, opening).catch(async (error: unknown) => {
    const fault = error instanceof StoreMisconfiguredError ? null : await connectionFault(control, cause)
    await closeAll()
    throw fault === null ? error : named(called ?? shown, new StoreMisconfiguredError(fault))
  })
  const primacy = isMember ? primacyOfMember : undisputed
  const reignOfReads = isMember ? primaryOfReads : primacy.reign

  const controlled = <T>(work: (database: Db) => Promise<T>): Promise<T> =>
    readProven(primacy, primacy.reign, onceOpen(control, work), READ_MS)

  return {
    shown,
    replicaSet: isMember ? { client: control, database, primacy } : null,
    async read(work) {
      assertOpen()
      return inTime(READ_MS, readProven(primacy, reignOfReads, onceOpen(reads, work), READ_MS))
    },
    async control(work) {
      assertOpen()
      return inTime(READ_MS, controlled(work))
    },
    async controlAnew(work) {
      assertOpen()
      return inTime(
        READ_MS,
        primacy.renew().then(() => controlled(work)),
      )
    },
    async write(work) {
      assertOpen()
      return inTime(WRITE_MS, work(writes.db(name, CONCERNS)), toWriteError)
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
    // The driver's error is not even passed on as a cause, since it quotes parts of the string.
    throw new Error('the MongoDB connection string cannot be used')
  }
}

/**
 * The database that the string names. The driver cannot be asked, since it does not distinguish its own default from
 * that.
 */
function databaseIn(url: string): string {
  const [, name = ''] = /^[^/]*\/\/[^/]*\/([^?]*)/.exec(url) ?? []
  return decodeURIComponent(name) || 'tokenledger'
}
