import { copyFile, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Api,
  apiOf,
  type CreatedToken,
  type HistoryRow,
  type ResultPage,
  type Token,
  type Usage,
} from '../callers/api.ts'
import { startLedger } from '../processes/ledger.ts'
import { ownFolder } from '../processes/service.ts'
import { openDatabase } from '../../../src/adapters/sqlite/database/database.ts'
import { tokenStream } from '../../../src/domain/streams.ts'

/** A folder with tokens in every state, closed in good order, and the files in it that can be damaged. */
export interface Original {
  folder: string
  tokens: CreatedToken[]
}

export async function makeOriginal(): Promise<Original> {
  const folder = await ownFolder()
  const service = await startLedger({}, folder)
  const api = apiOf(service.url)
  const tokens: CreatedToken[] = []
  for (let i = 0; i < 6; i++) {
    const { body } = await api.create({ name: `token ${i}`, scopes: ['orders:read'] })
    tokens.push(body)
    for (let use = 0; use <= i; use++) await api.use(body.token)
  }
  const [, renamed, scoped, revoked, both] = tokens.map(({ id }) => id) as [
    string,
    string,
    string,
    string,
    string,
  ]
  await api.patch(renamed, { name: 'renamed 1' })
  await api.patch(scoped, { scopes: ['a', 'b'] })
  await api.revoke(revoked)
  await api.patch(both, { name: 'renamed 4' })
  await api.revoke(both)
  await sleep(100)
  await service.close()
  return { folder, tokens }
}

/** Evenly spread places of `file` that hold something, and a bit for each. They are the same ones for the same file. */
export async function placesIn(original: Original, file: string, count: number): Promise<Flip[]> {
  const bytes = await readFile(join(original.folder, file))
  const filled = [...bytes.keys()].filter((at) => bytes[at] !== 0)
  return Array.from({ length: count }, (_, n) => ({
    file,
    at: filled[Math.floor(((n + 0.5) * filled.length) / count)] as number,
    bit: (n * 5 + 1) % 8,
  }))
}

export interface Flip {
  file: string
  at: number
  bit: number
}

/** A copy of the original with one bit flipped, or with none. */
export async function copyOf({ folder }: Original, flip: Flip | null): Promise<string> {
  const copy = await ownFolder()
  // The WAL and its index are left out: they are empty after a stop, and `libsql` may remove them at any time.
  const files = (await readdir(folder)).filter((name) => !/-(wal|shm)$/.test(name))
  await Promise.all(files.map((name) => copyFile(join(folder, name), join(copy, name))))
  if (!flip) return copy
  const { file, at, bit } = flip
  const bytes = await readFile(join(copy, file))
  bytes[at] = (bytes[at] as number) ^ (1 << bit)
  await writeFile(join(copy, file), bytes)
  return copy
}

export async function removeReadModel(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.startsWith('read-model.db')) await rm(join(folder, name), { force: true })
  }
}

type Answered<T> = { status: number; body: T }

/** What the service answers about each token, and about all of them. */
export interface Account {
  tokens: {
    use: number
    read: Answered<Token>
    events: Answered<ResultPage<HistoryRow>>
    usage: Answered<Usage>
    patch: Answered<Token>
  }[]
  lists: Answered<ResultPage<Token>>[]
  total: Answered<Usage>
}

const LISTS = ['?status=all', '?status=live', '?status=revoked', '?q=RENAMED', '?sort=name', '?status=active']

export async function askEverything(api: Api, { tokens }: Original): Promise<Account> {
  const told: Account['tokens'] = []
  const lists: Account['lists'] = []
  for (const query of LISTS) lists.push(await api.list(query))
  const total = await api.call<Usage>('GET', '/settings/api-tokens/usage')
  for (const { id, token } of tokens) {
    const [read, events, usage] = [await api.read(id), await api.events(id), await api.usage(id)]
    told.push({
      use: await api.use(token),
      read,
      events,
      usage,
      patch: await api.patch(id, { scopes: ['new'] }),
    })
  }
  return { tokens: told, lists, total }
}

/** Takes all events of a token out of the log, so that nothing can be written behind them. */
export async function loseHistory(folder: string, tokenId: string): Promise<void> {
  const database = await openDatabase(`${folder}/events.db`, { synchronous: 'FULL' })
  for (const table of ['events', 'streams'])
    database.prepare(`DELETE FROM ${table} WHERE stream = ?`).run(tokenStream(tokenId))
  database.close()
}
