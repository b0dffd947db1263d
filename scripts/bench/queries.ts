import { setTimeout as sleep } from 'node:timers/promises'
import jwt from 'jsonwebtoken'
import { DAY_MS } from '../../src/domain/time.ts'
import { BIG, BUSY, busyToken, fillMongo, fillSqlite, manyDocuments, type Sizes } from './manyDocuments.ts'
import { ownFolder } from './ownFolder.ts'
import { JWT_SECRET } from './seed.ts'
import { inFolder, mongo, type Stores } from './stores.ts'
import { type Hold, startWatched, type Watched } from './watched.ts'

export interface Asked {
  name: string
  /** How many requests were made. They differ in details that the name leaves out. */
  requests: number
  /** The slowest answer, in milliseconds. */
  answer: number
  hold: Hold
}

const SIZES: Sizes = { others: 760_000, big: 240_000, busy: 100, days: 90 }
const TOKENS = '/settings/api-tokens'
const ALL_TOKENS = '/admin/api-tokens'
const HINT = encodeURIComponent('tkl_…abcd')
const SORTS = ['created_at', 'name', 'last_accessed', 'expires_at'].flatMap((field) => [field, `-${field}`])
const AT_ONCE = 20

/**
 * Asks every query of a read model with a million tokens, 240,000 of them of one account and most of those revoked or
 * expired, and with 90 days of hourly usage of 100 tokens.
 */
export async function benchQueries(readModel: 'sqlite' | 'mongodb', sizes = SIZES): Promise<Asked[]> {
  const folder = ownFolder()
  const server = readModel === 'mongodb' ? await mongo() : null
  const stores = { ...inFolder(folder), ...(server && { READ_MODEL_URL: server.url('queries') }) }
  try {
    await fill(stores, server !== null, sizes)
    const watched = await startWatched(stores)
    try {
      return await askAll(watched)
    } finally {
      await watched.stop()
    }
  } finally {
    await server?.stop()
  }
}

export async function fill(stores: Stores, isMongo: boolean, sizes: Sizes): Promise<void> {
  // The service makes the collections that are filled here.
  const empty = await startWatched(stores)
  await empty.stop()
  const documents = manyDocuments(sizes, Date.now())
  const url = stores.READ_MODEL_URL
  await (isMongo ? fillMongo(url, documents) : fillSqlite(url.slice('sqlite:'.length), documents))
}

export interface Question {
  name: string
  /** Null: an operator asks. */
  account: string | null
  paths: string[]
}

export function questions(): Question[] {
  const lists = ['live', 'active', 'expired', 'revoked', 'all'].flatMap((status) =>
    [undefined, 'TOKEN 99', 'nowhere'].map((q) => ({
      name: `list, ${status}${q ? `, q=${q}` : ''}`,
      account: BIG,
      paths: SORTS.map(
        (sort) =>
          `${TOKENS}?status=${status}&sort=${sort}&limit=100${q ? `&q=${encodeURIComponent(q)}` : ''}`,
      ),
    })),
  )
  const filters = [
    ...['live', 'active', 'expired', 'revoked', 'all'].map((status) => `status=${status}`),
    'unused_days=30',
    'expiring_days=7',
    'never_expires=true',
    `account=${BIG}`,
  ]
  const ofAll = filters.map((filter) => ({
    name: `list of all accounts, ${filter}`,
    account: null,
    paths: SORTS.map((sort) => `${ALL_TOKENS}?${filter}&sort=${sort}&limit=100`),
  }))
  const from = new Date(Date.now() - 100 * DAY_MS).toISOString()
  const usage = (path: string) =>
    ['hour', 'day'].flatMap((granularity) =>
      ['', '&route=/orders/1'].map((route) => `${path}?granularity=${granularity}&from=${from}${route}`),
    )
  return [
    ...lists,
    ...ofAll,
    { name: 'list of all accounts, by hint', account: null, paths: [`${ALL_TOKENS}?hint=${HINT}&limit=100`] },
    { name: 'usage of 240,000 tokens', account: BIG, paths: usage(`${TOKENS}/usage`) },
    { name: 'report of 240,000 tokens', account: BIG, paths: [`${TOKENS}/report`] },
    { name: 'usage of 100 tokens', account: BUSY, paths: usage(`${TOKENS}/usage`) },
    { name: 'report of 100 tokens', account: BUSY, paths: [`${TOKENS}/report?from=${from}`] },
    { name: 'usage of a token', account: BUSY, paths: usage(`${TOKENS}/${busyToken(0)}/usage`) },
    {
      name: 'blast radius',
      account: BUSY,
      paths: [`${TOKENS}/${busyToken(0)}/blast-radius?since=${from}`],
    },
    { name: 'history', account: BUSY, paths: [`${TOKENS}/${busyToken(0)}/events?limit=100`] },
    { name: 'a token', account: BUSY, paths: [`${TOKENS}/${busyToken(0)}`] },
  ]
}

async function askAll(watched: Watched): Promise<Asked[]> {
  // The first answers of a process are always slower, so they are not measured.
  for (const question of questions()) await ask(watched, question)
  const found: Asked[] = []
  for (const question of questions()) found.push(await ask(watched, question))
  await watched.longestHold()
  const started = performance.now()
  const all = questions().flatMap(({ account, paths }) => paths.map((path) => ({ account, path })))
  const callers = Array.from({ length: AT_ONCE }, async (_, i) => {
    for (let n = i; n < all.length; n += AT_ONCE) await get(watched, all[n] as (typeof all)[number])
  })
  await Promise.all(callers)
  const [answer, hold] = [performance.now() - started, await watched.longestHold()]
  return [...found, { name: `all of them, ${AT_ONCE} at a time`, requests: all.length, answer, hold }]
}

async function ask(watched: Watched, { name, account, paths }: Question): Promise<Asked> {
  await watched.longestHold()
  let answer = 0
  for (const path of paths) {
    const started = performance.now()
    await get(watched, { account, path })
    answer = Math.max(answer, performance.now() - started)
  }
  return { name, requests: paths.length, answer, hold: await watched.longestHold() }
}

/** A JWT of an account; null: of an operator. */
export const jwtOf = (account: string | null): string =>
  jwt.sign(account === null ? { sub: 'ann', scope: 'tokenledger:operator' } : { sub: account }, JWT_SECRET, {
    expiresIn: '1h',
  })

async function get(
  { url }: Watched,
  { account, path }: { account: string | null; path: string },
): Promise<void> {
  const headers = { authorization: `Bearer ${jwtOf(account)}` }
  for (;;) {
    const response = await fetch(url + path, { headers })
    const text = await response.text()
    if (response.status === 200) return
    // So it answers when too many others wait, and says after how many seconds to ask again.
    const after = response.status === 503 ? Number(response.headers.get('retry-after')) : 0
    if (after > 0) await sleep(after * 1_000)
    else throw new Error(`${path}: ${response.status} ${text.slice(0, 300)}`)
  }
}
