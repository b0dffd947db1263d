/**
 * What the read models must hold after a history, as plain folds. It shares no code with the product on purpose: only
 * then does agreement mean something.
 */

type Json = Record<string, unknown>

/** An event as the store gives it, as far as read models look at it. */
export interface Happened {
  id: string
  type: string
  stream: string
  revision: number
  position: string
  metadata: { at: string; actor: Json; requestId: string }
  data: Json
}

interface Use {
  tokenId: string
  accountId: string
  count: number
  firstAt: string
  lastAt: string
  outcomes: Record<string, number>
  routes: { method: string; route: string; count: number }[]
}

export interface Expected {
  tokens: Json[]
  tokenHistory: Json[]
  tokenUsage: Json[]
}

const LIFE = ['TokenCreated', 'TokenImported', 'TokenUpdated', 'TokenRevoked']

/** @param history in log order */
export function expectedAfter(history: readonly Happened[]): Expected {
  const used = history.filter(({ type }) => type === 'TokenUsed').map(({ data }) => data as unknown as Use)
  const life = history.filter(({ type }) => LIFE.includes(type))
  return {
    tokens: expectedTokens(life, used),
    tokenHistory: life.map(historyRow),
    tokenUsage: usageRows(used),
  }
}

function expectedTokens(life: readonly Happened[], used: readonly Use[]): Json[] {
  const byId = new Map<string, Json>()
  for (const { type, stream, revision, data, metadata } of life) {
    const id = stream.replace('apiToken-', '')
    const { tokenId: _, reason: __, oldId: ___, ...fields } = data
    const token = byId.get(id) ?? { id, createdAt: metadata.at, revokedAt: null }
    Object.assign(token, { updatedAt: metadata.at }, fields, { revision })
    if (type === 'TokenRevoked') token.revokedAt = metadata.at
    if (typeof fields.name === 'string') token.nameFolded = fields.name.normalize('NFC').toLowerCase()
    byId.set(id, token)
  }
  for (const [id, token] of byId) {
    const times = used.filter(({ tokenId }) => tokenId === id).map(({ lastAt }) => lastAt)
    if (typeof token.lastAccessed === 'string') times.push(token.lastAccessed)
    delete token.lastAccessed
    if (times.length > 0) token.lastAccessed = times.sort().at(-1)
  }
  return [...byId.values()]
}

function historyRow({ id, type, stream, revision, data, metadata }: Happened): Json {
  const { hash: _, hashKeyId: __, ...shown } = data
  const { at, actor, requestId } = metadata
  return { id, tokenId: stream.replace('apiToken-', ''), type, revision, at, actor, requestId, data: shown }
}

function usageRows(used: readonly Use[]): Json[] {
  const rows: Json[] = []
  for (const granularity of ['hour', 'day']) {
    const startOf = ({ firstAt }: Use): string =>
      granularity === 'hour' ? `${firstAt.slice(0, 13)}:00:00.000Z` : `${firstAt.slice(0, 10)}T00:00:00.000Z`
    const buckets = new Map<string, Use[]>()
    for (const use of used) {
      const key = `${use.tokenId}_${granularity}_${startOf(use)}`
      buckets.set(key, [...(buckets.get(key) ?? []), use])
    }
    for (const [id, uses] of buckets) {
      const [first] = uses
      if (!first) continue
      const { tokenId, accountId } = first
      const outcomes: Record<string, number> = {}
      for (const [name, n] of uses.flatMap((use) => Object.entries(use.outcomes))) {
        outcomes[name] = (outcomes[name] ?? 0) + n
      }
      rows.push({
        id,
        tokenId,
        accountId,
        granularity,
        at: startOf(first),
        outcomes,
        routes: routesOf(uses),
        requests: uses.reduce((sum, { count }) => sum + count, 0),
        firstAt: uses.map(({ firstAt }) => firstAt).sort()[0],
        lastAt: uses
          .map(({ lastAt }) => lastAt)
          .sort()
          .at(-1),
      })
    }
  }
  return rows
}

/** The 50 routes that came first by name, the rest together. */
function routesOf(uses: readonly Use[]): Record<string, number> {
  const calls = uses
    .flatMap(({ routes }) => routes)
    .map(({ method, route, count }) => [`${method} ${route}`, count] as const)
  const named = new Set([...new Set(calls.map(([name]) => name))].slice(0, 50))
  const routes: Record<string, number> = {}
  for (const [name, count] of calls) {
    const key = named.has(name) ? name : '* other'
    routes[key] = (routes[key] ?? 0) + count
  }
  return routes
}
