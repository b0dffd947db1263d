import type { Change, Projection } from '../../../projections/projection.ts'
import {
  DeposedError,
  type Document,
  type ReadModel,
  type Standing,
  type Step,
  StoreUnavailableError,
  type Watch,
} from '../../application/ports.ts'
import { applyChanges } from './apply.ts'
import { makeCollections, present, targetsAt } from './collections.ts'
import { type Connection, connect } from './connection.ts'
import { createGenerations } from './generations.ts'
import { lead, resign } from './leases.ts'
import { storedName } from './names.ts'
import { beginNext, retire, SPREAD_MS } from './next-generation.ts'
import { filterOf, partsOf } from './query.ts'
import { openReservations, queue, release, reserve } from './reservations.ts'
import { advanceCheckpoint, arePublished, publish, readCheckpoint } from './versions.ts'
import { type Watched, watchCollection } from './watch.ts'

/**
 * Opens the read model in a MongoDB database, the one that the connection string names or `tokenledger`. It takes a
 * replica set, or a single server, on which no watch is ever live. Reads answer or fail within a second, writes within
 * three. A page of `find` is read in two parts, those with the ordering field and those without: a document that gains
 * or loses the field between them may be missing from it.
 * @param options.readOnly makes and changes nothing
 * @throws StoreUnavailableError; Error for what is no connection string
 */
export async function openMongoReadModel(url: string, options: MongoOptions = {}): Promise<ReadModel> {
  return readModel(await connect(url), options)
}

interface MongoOptions {
  readOnly?: boolean
  /** How long a rebuild waits until all processes know what it is about to do; for tests. */
  spreadMs?: number
}

function readModel(
  connection: Connection,
  { readOnly = false, spreadMs = SPREAD_MS }: MongoOptions,
): ReadModel {
  const watches = new Set<Watch>()
  const opened: Projection[] = []
  const generations = createGenerations((left) => {
    if (!readOnly) connection.write((database) => retire(database, left, opened, spreadMs)).catch(() => {})
  })
  let targets = targetsAt(opened, generations.live)
  /** Of live generations, by stored name. */
  const reached = new Map<string, string>()

  const read: Connection['read'] = (work) =>
    connection.read(async (database) => {
      for (;;) {
        await generations.ensure(database)
        const answer = await work(database)
        if (generations.isUsable()) return answer
      }
    })

  function assertWritable(): void {
    connection.assertOpen()
    if (readOnly) throw new StoreUnavailableError('the read model is open for reading only')
  }

  const write: Connection['write'] = async (work) => {
    assertWritable()
    return connection.write(async (database) => {
      await generations.ensure(database)
      return work(database)
    })
  }

  /** @throws DeposedError the live documents do not reach as far as this follows on */
  async function assertFollows(after: Standing, nameOf: (projection: Projection) => string): Promise<void> {
    for (const [projection, from] of after) {
      const name = nameOf(projection)
      if (from === null || (reached.get(name) ?? '') >= from) continue
      const at = await connection.read((database) => readCheckpoint(database, name))
      if ((at ?? '') < from)
        throw new DeposedError(`${name} is at ${at ?? 'the start'}, this follows on ${from}`)
    }
  }

  async function applyStep(changes: readonly Change[], { after, position, of, term }: Step): Promise<void> {
    await write(async () => {})
    const live = new Map(opened.map((one) => [one, generations.live(one)]))
    const generation = (one: Projection): number => live.get(one) ?? generations.live(one)
    const nameOf = (one: Projection): string => storedName(one, generation(one))
    if (after) await assertFollows(after, nameOf)
    await applyChanges(write, targetsAt(opened, generation), changes)
    await write((database) =>
      Promise.all(
        of.map(async (one) => {
          reached.set(nameOf(one), await advanceCheckpoint(database, nameOf(one), { position, term }))
        }),
      ),
    )
  }

  /** To every generation that somebody reads, or is about to. */
  async function applyNow(changes: readonly Change[]): Promise<void> {
    await write(async () => {})
    const everywhere = [applyChanges(write, targets, changes)]
    for (const one of opened) {
      for (const generation of generations.alsoWritten(one)) {
        const also = targetsAt([one], () => generation)
        everywhere.push(
          applyChanges(
            write,
            also,
            changes.filter(({ collection }) => also.has(collection)),
          ),
        )
      }
    }
    await Promise.all(everywhere)
  }

  return {
    async open(wanted) {
      opened.push(...wanted.filter((one) => !opened.includes(one)))
      generations.add(wanted)
      targets = targetsAt(opened, generations.live)
      await read((database) => database.command({ ping: 1 }))
      if (readOnly) return
      await makeCollections(write, wanted, generations.live)
      await write(openReservations)
    },

    checkpoint: (projection) =>
      read((database) => readCheckpoint(database, storedName(projection, generations.live(projection)))),

    async apply(changes, step) {
      assertWritable()
      await (step ? applyStep(changes, step) : applyNow(changes))
    },

    next: (wanted) => beginNext(connection, wanted, spreadMs),
    offered: async () => null,

    async get(collection, id) {
      targets.of(collection)
      return read(async (database) => {
        const target = targets.of(collection)
        const found = await target.in(database).findOne({ _id: id })
        return found && present(target, found)
      })
    },

    async find(collection, query) {
      targets.of(collection)
      const parts = partsOf(query)
      return read(async (database) => {
        const target = targets.of(collection)
        const found: Document[] = []
        for (const { filter, sort } of parts) {
          const missing = query.limit - found.length
          if (missing <= 0) break
          const options = { sort, limit: missing, batchSize: missing + 1 }
          const documents = await target.in(database).find(filter, options).toArray()
          found.push(...documents.map((document) => present(target, document)))
        }
        return found
      })
    },

    async count(collection, where, limit) {
      targets.of(collection)
      const filter = filterOf(where)
      if (limit <= 0) return 0
      return read((database) => targets.of(collection).in(database).countDocuments(filter, { limit }))
    },

    async ping() {
      await read((database) => database.command({ ping: 1 }))
    },

    lead: (group, candidate) => write((database) => lead(database, group, candidate)),
    resign: (group, id) => write((database) => resign(database, group, id)),
    reserve: (key, reservation) => write((database) => reserve(database, key, reservation)),
    queue: (key) => read((database) => queue(database, key)),
    release: (key, id) => write((database) => release(database, key, id)),

    async publish(wanted) {
      await write((database) => Promise.all(wanted.map((projection) => publish(database, projection))))
    },

    isPublished: (wanted) => read((database) => arePublished(database, wanted)),

    watch(collection, fields, onChanged, onLost) {
      const { replicaSet } = connection
      if (!replicaSet) return { isLive: () => false, async close() {} }
      targets.of(collection)
      const watched: Watched = {
        target: () => targets.of(collection),
        keep: () => void generations.ensure(replicaSet.database).catch(() => {}),
        isTrusted: generations.isTrusted,
      }
      const watch = watchCollection(replicaSet, watched, fields, onChanged, onLost)
      watches.add(watch)
      return watch
    },

    async close() {
      await Promise.all([...watches].map((watch) => watch.close()))
      await connection.close()
    },
  }
}
