import { createHash } from 'node:crypto'
import { MongoClient } from 'mongodb'
import { projections } from '../../projections/index.ts'
import { activityId } from '../../projections/tokenActivity.ts'
import { usageId } from '../../projections/tokenUsage.ts'
import { createCollections } from '../../src/adapters/sqlite/documents/collections.ts'
import { openDatabase } from '../../src/adapters/sqlite/database/database.ts'
import { insertDocuments } from '../../src/adapters/sqlite/documents/documents.ts'
import { SETTINGS } from '../../src/adapters/sqlite/documents/modelFile.ts'
import { openSqliteReadModel } from '../../src/adapters/sqlite/readModel.ts'
import { seal } from '../../src/adapters/sqlite/documents/seal.ts'
import { iso } from '../../src/application/ports/clock.ts'
import { DAY_MS } from '../../src/domain/time.ts'

/**
 * Makes read models with very many documents. They are written straight into the store, since events would take too
 * long.
 */

type Fields = Record<string, unknown>
export type Made = readonly [collection: string, id: string, document: Fields]

export const BIG = 'acct_big'
export const BUSY = 'acct_busy'

export interface Sizes {
  /** The number of tokens of other accounts, 100 for each. */
  others: number
  /** The number of tokens of the big account: a third each are revoked, expired and active. */
  big: number
  /** The number of tokens of the busy account. Each was used in every hour of `days` days. */
  busy: number
  days: number
}

const HOUR_MS = 3_600_000

/** A UUID that sorts by `n` within its kind. */
const idOf = (kind: number, n: number): string =>
  `0000000${kind}-${String(n).padStart(12, '0').slice(0, 4)}-7000-8000-${String(n).padStart(12, '0')}`

export const busyToken = (n: number): string => idOf(2, n)

/** @param now the time of the newest documents */
export function* manyDocuments({ others, big, busy, days }: Sizes, now: number): Generator<Made> {
  for (let n = 0; n < others; n++) yield token(idOf(0, n), `acct_${Math.floor(n / 100)}`, n, now)
  for (let n = 0; n < big; n++) yield token(idOf(1, n), BIG, n, now)
  const start = Math.floor(now / DAY_MS) * DAY_MS - (days - 1) * DAY_MS
  for (let n = 0; n < busy; n++) {
    yield token(busyToken(n), BUSY, 2, now)
    for (let day = start; day < start + days * DAY_MS; day += DAY_MS) {
      yield usage(busyToken(n), 'day', iso(day))
      for (let hour = day; hour < day + DAY_MS; hour += HOUR_MS) {
        yield usage(busyToken(n), 'hour', iso(hour))
        if (n === 0) yield activity(busyToken(n), iso(hour))
      }
    }
  }
}

/** Many tokens have the same name, and the same time of creation, so that ties are common. */
function token(id: string, accountId: string, n: number, now: number): Made {
  const createdAt = iso(now - DAY_MS - Math.floor(n / 1_000) * 1_000)
  const [revoked, expired] = [n % 3 === 0, n % 3 === 1]
  const name = n % 2 === 0 ? 'rotated hourly' : `Token ${n}`
  const used = n % 5 === 0 ? {} : { lastAccessed: iso(now - n * 1_000) }
  return [
    'tokens',
    id,
    {
      accountId,
      name,
      nameFolded: name.toLowerCase(),
      hash: createHash('sha256').update(id).digest('hex'),
      hashKeyId: 'k1',
      hint: 'tkl_…abcd',
      secret: { revision: 0, hint: 'tkl_…abcd' },
      scopes: ['orders:read', 'orders:write'],
      description: null,
      metadata: {},
      allowedIps: null,
      rotatable: false,
      createdBy: { kind: 'jwt', id: accountId },
      createdAt,
      updatedAt: createdAt,
      expiresAt: expired ? iso(now - DAY_MS + n) : n % 4 === 0 ? iso(now + DAY_MS + n * 1_000) : null,
      revokedAt: revoked ? iso(now - 1_000) : null,
      phase: revoked ? 'revoked' : expired ? 'expired' : 'active',
      revision: revoked ? 1 : 0,
      ...used,
    },
  ]
}

function usage(tokenId: string, granularity: 'hour' | 'day', at: string): Made {
  const routes = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`GET /orders/${i}`, 10]))
  return [
    'tokenUsage',
    usageId(tokenId, granularity, at),
    {
      tokenId,
      accountId: BUSY,
      granularity,
      at,
      requests: 80,
      outcomes: OUTCOMES,
      ...within(at),
      routes,
      secrets: { 0: { requests: 80, lastAt: at } },
    },
  ]
}

/** The largest document that one hour can have. */
function activity(tokenId: string, at: string): Made {
  const many = (count: number, name: string) =>
    Object.fromEntries(
      Array.from({ length: count }, (_, i) => [`${name}${i}`.padEnd(name.length * 3, 'x'), 1]),
    )
  return [
    'tokenActivity',
    activityId(tokenId, at),
    {
      tokenId,
      accountId: BUSY,
      at,
      requests: 80,
      outcomes: OUTCOMES,
      ...within(at),
      routes: many(100, `2xx GET /orders/${at}/`),
      management: many(100, '4xx GET /settings/api-tokens/'),
      addresses: many(100, `2001:db8::${at.slice(5, 13)}:`),
      userAgents: many(50, `Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) ${at}`),
    },
  ]
}

const OUTCOMES = { '2xx': 78, '4xx': 2 }
const within = (at: string) => ({ firstAt: at, lastAt: at })

const AT_ONCE = 5_000

function* pieces(documents: Iterable<Made>): Generator<Made[]> {
  let some: Made[] = []
  for (const made of documents) {
    some.push(made)
    if (some.length < AT_ONCE) continue
    yield some
    some = []
  }
  yield some
}

const byCollection = (some: readonly Made[]): Map<string, Made[]> => {
  const found = new Map<string, Made[]>()
  for (const made of some) found.set(made[0], [...(found.get(made[0]) ?? []), made])
  return found
}

/** Fills the file of a service that does not run. The indexes are made last. */
export async function fillSqlite(path: string, documents: Iterable<Made>): Promise<void> {
  const database = await openDatabase(path, SETTINGS)
  const collections = createCollections(database)
  collections.open(projections, 'tables')
  const indexes = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
  const names = indexes.all().map(({ name }) => String(name))
  for (const name of names.filter((each) => each.includes('_v'))) database.exec(`DROP INDEX ${name}`)
  for (const some of pieces(documents)) {
    database.inTransaction('immediate', () => {
      for (const [collection, made] of byCollection(some)) {
        const rows = made.map(([, id, document]) => [id, document] as const)
        insertDocuments(database, collections.table(collection), rows)
      }
    })
  }
  database.checkpoint()
  database.close()
  seal(path)
  const model = await openSqliteReadModel(path)
  await model.open(projections)
  await model.close()
}

/** Fills a database that a service has made. */
export async function fillMongo(url: string, documents: Iterable<Made>): Promise<void> {
  const client = new MongoClient(url)
  const counters = new Set(['routes', 'management', 'addresses', 'userAgents'])
  const versions = new Map(
    projections.flatMap(({ collections, version }) => collections.map(({ name }) => [name, version])),
  )
  const stored = (document: Fields): Fields =>
    Object.fromEntries(
      Object.entries(document).map(([name, value]) => [
        name,
        counters.has(name) ? Object.entries(value as object).map(([key, count]) => ({ key, count })) : value,
      ]),
    )
  for (const some of pieces(documents)) {
    for (const [collection, made] of byCollection(some)) {
      await client
        .db()
        .collection<{ _id: string } & Fields>(`${collection}_v${versions.get(collection)}`)
        .insertMany(
          made.map(([, _id, document]) => ({ _id, ...stored(document) })),
          { ordered: false },
        )
    }
  }
  await client.close()
}
