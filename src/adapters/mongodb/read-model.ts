import { type Document, type ReadModel, StoreUnavailableError, type Watch } from '../../application/ports.ts'
import { applyChanges } from './apply.ts'
import { createTargets, makeCollections, present } from './collections.ts'
import { type Connection, connect } from './connection.ts'
import { lead, resign } from './leases.ts'
import { filterOf, partsOf } from './query.ts'
import { advanceCheckpoint, arePublished, publish, readCheckpoint } from './versions.ts'
import { watchCollection } from './watch.ts'

/**
 * Opens the read model in a MongoDB database, the one that the connection string names or `tokenledger`. It takes a
 * replica set, or a single server, on which no watch is ever live. Reads answer or fail within a second, writes within
 * three. A page of `find` is read in two parts, those with the ordering field and those without: a document that gains
 * or loses the field between them may be missing from it.
 * @param options.readOnly makes and changes nothing
 * @throws StoreUnavailableError; Error for what is no connection string
 */
export async function openMongoReadModel(
  url: string,
  options: { readOnly?: boolean } = {},
): Promise<ReadModel> {
  return readModel(await connect(url), options.readOnly ?? false)
}

function readModel(connection: Connection, readOnly: boolean): ReadModel {
  const targets = createTargets()
  const watches = new Set<Watch>()
  const { read } = connection

  function assertWritable(): void {
    connection.assertOpen()
    if (readOnly) throw new StoreUnavailableError('the read model is open for reading only')
  }

  const write: Connection['write'] = async (work) => {
    assertWritable()
    return connection.write(work)
  }

  return {
    async open(projections) {
      if (readOnly) await read((database) => database.command({ ping: 1 }))
      else await makeCollections(write, projections)
      targets.add(projections)
    },

    checkpoint: (projection) => read((database) => readCheckpoint(database, projection)),

    async apply(changes, checkpoint) {
      assertWritable()
      await applyChanges(write, targets, changes)
      if (!checkpoint) return
      await write((database) =>
        Promise.all(checkpoint.of.map((projection) => advanceCheckpoint(database, projection, checkpoint))),
      )
    },

    async get(collection, id) {
      const target = targets.of(collection)
      const found = await read((database) => target.in(database).findOne({ _id: id }))
      return found && present(target, found)
    },

    async find(collection, query) {
      const target = targets.of(collection)
      const parts = partsOf(query)
      return read(async (database) => {
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
      const target = targets.of(collection)
      const filter = filterOf(where)
      if (limit <= 0) return 0
      return read((database) => target.in(database).countDocuments(filter, { limit }))
    },

    async ping() {
      await read((database) => database.command({ ping: 1 }))
    },

    lead: (group, candidate) => write((database) => lead(database, group, candidate)),
    resign: (group, id) => write((database) => resign(database, group, id)),

    async publish(projections) {
      await write((database) => Promise.all(projections.map((projection) => publish(database, projection))))
    },

    isPublished: (projections) => read((database) => arePublished(database, projections)),

    watch(collection, fields, onChanged, onLost) {
      const { replicaSet } = connection
      if (!replicaSet) return { isLive: () => false, async close() {} }
      const watch = watchCollection(replicaSet, targets.of(collection), fields, onChanged, onLost)
      watches.add(watch)
      return watch
    },

    async close() {
      await Promise.all([...watches].map((watch) => watch.close()))
      await connection.close()
    },
  }
}
