import { type Document, MongoClient } from 'mongodb'

/** What is in a MongoDB database, as `mongodump` would take it. */
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
      // A service may drop what it has left behind.
      if (indexes === null) continue
      const documents = await collection.find().toArray()
      collections.push({ name, options: options as Document, indexes, documents })
    }
    return { collections }
  })
}

/**
 * Puts a dump back, as `mongorestore` does: each collection dropped first, or, without `drop`, only what is not there
 * any more.
 */
export function restore(url: string, { collections }: Dump, { drop = true, only = all } = {}): Promise<void> {
  return within(url, async (client) => {
    for (const { name, options, indexes, documents } of collections.filter((one) => only(one.name))) {
      const collection = client.db().collection(name)
      if (drop) await collection.drop()
      // Services may be faster, in making a collection as well as a document.
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
