import { join } from 'node:path'
import { MongoClient } from 'mongodb'
import { startMongod } from '../../test/support/stores/mongod.ts'

/** Where a service of the benchmark keeps its data. */
export interface Stores {
  EVENT_STORE_URL: string
  READ_MODEL_URL: string
}

export const inFolder = (folder: string): Stores => ({
  EVENT_STORE_URL: `sqlite:${join(folder, 'events.db')}`,
  READ_MODEL_URL: `sqlite:${join(folder, 'read-model.db')}`,
})

export interface Mongo {
  url(database: string): string
  stop(): Promise<void>
}

/** The server that `TEST_MONGODB_URL` names; otherwise a replica set of one server, started for the benchmark. */
export async function mongo(): Promise<Mongo> {
  const { TEST_MONGODB_URL: given } = process.env
  if (!given) return startMongod({ set: 'bench' })
  const databases = new Set<string>()
  return {
    url(database) {
      const url = new URL(given)
      url.pathname = `/tokenledger_bench_${database}`
      databases.add(url.href)
      return url.href
    },
    async stop() {
      for (const url of databases) {
        const client = new MongoClient(url)
        await client.db().dropDatabase()
        await client.close()
      }
    },
  }
}
