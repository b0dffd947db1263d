import { type Document, MongoClient } from 'mongodb'

/** The content of a MongoDB database, as `mongodump` would write it. */
export interface Dump {
  collections: { name: string; options: Document; indexes: Document[]; documents: Document[] }[]
}

type Only = (collection: string) => boolean

const all: Only = () => true

export function dump(url: string): Promise<Dump> {
  return within(url, async (client) => {
    const database = client.db()
    const collections: Dump['collections'] = []
    for await (const { name, options = {} } of database.listCollections<Document & { name: string }>()) {
      const collection = database.collection(name)
      const indexes = await collection.indexes().catch(gone)
      // A service may drop a collection that is not needed any more.
      if (indexes === null) continue
      const documents = await collection.find().toArray()
      collections.push({ name, options: options as Document, indexes, documents })
    }
    return { collections }
  })
}

/**
 * Restores a dump, as `mongorestore` does: each collection is dropped first. Without `drop`, only what is missing is
 * added.
 */
export function restore(url: string, { collections }: Dump, { drop = true, only = all } = {}): Promise<void> {
  return within(url, async (client) => {
    for (const { name, options, indexes, documents } of collections.filter((one) => only(one.name))) {
      const collection = client.db().collection(name)
      if (drop) await collection.drop()
      // Services may have made the collection, or the document, already.
      await client.db().createCollection(name, options).catch(unlessThere)
      for (const { key, v: _, ...how } of indexes) await collection.createIndex(key, how)
      for (const document of documents) await collection.insertOne(document).catch(unlessThere)
    }
  })
}

function gone(error: unknown): null {
  if ((error as { code?: unknown }).code !== 26) throw error
  return null
}

function unlessThere(error: unknown): void {
  const { code } = error as { code?: unknown }
  if (code !== 48 && code !== 11_000) throw error
}

export async function within<T>(url: string, work: (client: MongoClient) => Promise<T>): Promise<T> {
  const client = new MongoClient(url, { ignoreUndefined: true })
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}
