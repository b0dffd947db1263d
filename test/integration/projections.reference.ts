/**
 * What the read models must hold after a history, as plain folds. This shares no code with the product on purpose: only
 * then does it mean something that the two agree.
 */

type Json = Record<string, unknown>

/** An event as the store gives it, with those parts that read models use. */
export interface Happened {
  id: string
  type: string
  stream: string
  revision: number
  position: string
  metadata: {
    at: string
    actor: Json
    requestId: string
    ip: string | null
    userAgent: string | null
    chain: string
  }
  data: Json
}

interface Use {
  tokenId: string
  accountId: string
  count: number
  firstAt: string
  lastAt: string
  outcomes: Record<string, number>
  routes: { method: string; route: string; count: number; outcomes?: Record<string, number> }[]
  secret: number
  lastIp: string | null
  lastUserAgent: string | null
  addresses?: { ip: string | null; count: number }[]
  otherAddresses?: number
  userAgents?: { userAgent: string | null; count: number }[]
  otherUserAgents?: number
}

export interface Expected {
  tokens: Json[]
  tokenHistory: Json[]
  tokenUsage: Json[]
  tokenActivity: Json[]
  tokenActions: Json[]
  rotatedSecrets: Json[]
  retiredSecretUses: Json[]
  leaks: Json[]
}

const LIFE = [
  'TokenCreated',
  'TokenImported',
  'TokenUpdated',
  'TokenRevoked',
  'TokenRotationStarted',
  'TokenSecretActivated',
  'TokenRotationEnded',
  'TokenLeaked',
  'TokenExpiring',
  'TokenExpired',
]
const ROTATIONS = LIFE.slice(4, 7)
/** How many days before it expires that is told. */
const NOTICES = [30, 7, 1, 0]

/** @param history in log order */
export function expectedAfter(history: readonly Happened[]): Expected {
  const used = history.flatMap(usesOf)
  const life = history.filter(({ type }) => LIFE.includes(type))
  return {
    tokens: expectedTokens(life, used),
    tokenHistory: historyRows(life),
    tokenUsage: usageRows(used),
    tokenActivity: activityRows(used),
    tokenActions: life.filter(({ metadata }) => metadata.actor.kind === 'token').map(actionRow),
    rotatedSecrets: rotatedSecrets(life),
    retiredSecretUses: retiredRows(history),
    leaks: leakRows(life),
  }
}

/** The older type of event is about one token with one secret. */
function usesOf({ type, data }: Happened): Use[] {
  if (type === 'TokensUsed') return data.entries as Use[]
  return type === 'TokenUsed' ? [{ ...(data as unknown as Use), secret: 0 }] : []
}

function expectedTokens(life: readonly Happened[], used: readonly Use[]): Json[] {
  const byId = new Map<string, Json>()
  for (const event of life) {
    const { type, stream, revision, data, metadata } = event
    const id = stream.replace('apiToken-', '')
    if (ROTATIONS.includes(type)) {
      rotated(byId.get(id) ?? {}, event)
      continue
    }
    if (type === 'TokenLeaked') {
      Object.assign(byId.get(id) ?? {}, { revision, chain: metadata.chain })
      continue
    }
    if (type === 'TokenExpiring' || type === 'TokenExpired') {
      const noticeAt = nextNotice(data.expiresAt, (days) => days < Number(data.days ?? 0))
      const phase = type === 'TokenExpired' ? { phase: 'expired' } : {}
      Object.assign(byId.get(id) ?? {}, { noticeAt, ...phase, revision, chain: metadata.chain })
      continue
    }
    const { tokenId: _, reason: __, oldId: ___, ...fields } = data
    const token = byId.get(id) ?? { id, createdAt: metadata.at, revokedAt: null }
    if (revision === 0 || metadata.actor.kind !== 'system') token.updatedAt = metadata.at
    Object.assign(token, fields, { revision, chain: metadata.chain })
    if (type === 'TokenRevoked')
      Object.assign(token, { revokedAt: metadata.at, phase: 'revoked', noticeAt: null })
    if (fields.expiresAt !== undefined) {
      token.noticeAt = nextNotice(fields.expiresAt, (_days, due) => due > metadata.at)
      const isPast = typeof fields.expiresAt === 'string' && fields.expiresAt <= metadata.at
      token.phase = isPast ? 'expired' : 'active'
    }
    if (typeof fields.name === 'string') token.nameFolded = folded(fields.name)
    if (fields.description !== undefined)
      token.descriptionFolded = typeof fields.description === 'string' ? folded(fields.description) : null
    if (revision === 0) {
      token.createdBy = metadata.actor
      token.secret = { revision, hint: data.hint }
      token.rotatable ??= false
    }
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

interface Named {
  revision: number
  hash: string
  hashKeyId: string
  hint: string
}

/** What an event of a rotation makes of a token. */
function rotated(token: Json, { type, revision, metadata, data }: Happened): void {
  const only = ({ hash, hashKeyId, ...secret }: Named): Json => ({
    hash,
    hashKeyId,
    secret: { revision: secret.revision, hint: secret.hint },
  })
  const none = {
    newerHash: null,
    newerHashKeyId: null,
    rotation: null,
    activatedAt: null,
    retiresAt: null,
    newerIsUsed: false,
  }
  const later = (seconds: unknown): string =>
    new Date(Date.parse(metadata.at) + Number(seconds) * 1000).toISOString()
  Object.assign(token, { revision, chain: metadata.chain })
  if (type === 'TokenSecretActivated') {
    Object.assign(token, { newerIsUsed: true, hint: data.hint })
    if (data.graceSeconds !== null)
      Object.assign(token, { activatedAt: metadata.at, retiresAt: later(data.graceSeconds) })
    return
  }
  if (metadata.actor.kind !== 'system') token.updatedAt = metadata.at
  if (type === 'TokenRotationEnded') {
    const remaining = data.remaining as Named
    Object.assign(token, only(remaining), none, { hint: remaining.hint })
    return
  }
  const { beside, activate, graceSeconds, hash, hashKeyId, hint } = data as unknown as Named & {
    beside: Named & { retiresAt: string | null }
    activate: string
    graceSeconds: number
  }
  if (activate === 'now' && beside.retiresAt === null && graceSeconds === 0) {
    Object.assign(token, only({ revision, hash, hashKeyId, hint }), none, { hint })
    return
  }
  const isActive = activate === 'now' || beside.retiresAt !== null
  Object.assign(token, only(beside), {
    newerHash: hash,
    newerHashKeyId: hashKeyId,
    hint: isActive ? hint : beside.hint,
    rotation: { revision, hint, graceSeconds, startedAt: metadata.at, startedBy: metadata.actor },
    activatedAt: isActive ? metadata.at : null,
    retiresAt: beside.retiresAt ?? (isActive ? later(graceSeconds) : null),
    newerIsUsed: false,
  })
}

function rotatedSecrets(life: readonly Happened[]): Json[] {
  const rows = new Map<string, Json>()
  const owners = ownersIn(life)
  for (const { type, stream, revision, data } of life) {
    if (type !== 'TokenRotationStarted') continue
    const tokenId = stream.replace('apiToken-', '')
    const accountId = owners.get(stream)
    for (const { hash, hint, ...secret } of [{ ...data, revision }, data.beside] as unknown as Named[])
      rows.set(hash, { id: hash, tokenId, accountId, revision: secret.revision, hint })
  }
  return [...rows.values()]
}

function leakRows(life: readonly Happened[]): Json[] {
  const owners = ownersIn(life)
  const found = life.filter(({ type }) => type === 'TokenLeaked')
  return found.map(({ id, stream, metadata, data }) => ({
    id,
    tokenId: stream.replace('apiToken-', ''),
    accountId: owners.get(stream),
    at: metadata.at,
    ...data,
  }))
}

const ownersIn = (life: readonly Happened[]): Map<string, unknown> =>
  new Map(life.filter(({ revision }) => revision === 0).map(({ stream, data }) => [stream, data.accountId]))

function retiredRows(history: readonly Happened[]): Json[] {
  const entries = history
    .filter(({ type }) => type === 'RetiredSecretsUsed')
    .flatMap(
      ({ data }) => data.entries as Pick<Use, 'tokenId' | 'accountId' | 'count' | 'firstAt' | 'lastAt'>[],
    )
  const startOf = ({ firstAt }: { firstAt: string }): string => `${firstAt.slice(0, 10)}T00:00:00.000Z`
  const ids = new Set(entries.map((entry) => `${entry.tokenId}_${startOf(entry)}`))
  return [...ids].map((id) => {
    const some = entries.filter((entry) => `${entry.tokenId}_${startOf(entry)}` === id)
    const { tokenId, accountId } = some[0] as (typeof some)[number]
    return {
      id,
      tokenId,
      accountId,
      at: id.slice(tokenId.length + 1),
      requests: some.reduce((sum, { count }) => sum + count, 0),
      firstAt: some.map(({ firstAt }) => firstAt).sort()[0],
      lastAt: some
        .map(({ lastAt }) => lastAt)
        .sort()
        .at(-1),
    }
  })
}

/** Folds each letter by itself, as it is without its neighbours. */
const folded = (name: string): string =>
  [...name.normalize('NFD')]
    .map((letter) => (letter === 'ı' ? letter : letter.toLowerCase().toUpperCase()))
    .flatMap((letters) => [...letters].map((letter) => (letter === 'ς' ? 'σ' : letter.toLowerCase())))
    .join('')
    .normalize('NFC')

function nextNotice(expiresAt: unknown, isNext: (days: number, due: string) => boolean): string | null {
  if (typeof expiresAt !== 'string') return null
  for (const days of NOTICES) {
    const due = new Date(Date.parse(expiresAt) - days * 86_400_000).toISOString()
    if (isNext(days, due)) return due
  }
  return null
}

function historyRows(life: readonly Happened[]): Json[] {
  const owners = ownersIn(life)
  return life.map(({ id, type, stream, revision, position, data, metadata }) => {
    const shown = withoutHashes(data)
    const { at, actor, requestId } = metadata
    const place = { tokenId: stream.replace('apiToken-', ''), accountId: owners.get(stream), position }
    return { id, ...place, type, revision, at, actor, requestId, data: shown }
  })
}

function withoutHashes(data: Json): Json {
  const { hash: _, hashKeyId: __, beside, remaining, ...shown } = data
  for (const [name, secret] of Object.entries({ beside, remaining }))
    if (secret !== undefined) shown[name] = withoutHashes(secret as Json)
  return shown
}

function actionRow({ id, type, stream, revision, metadata }: Happened): Json {
  const { at, actor, requestId, ip, userAgent } = metadata
  const tokenId = stream.replace('apiToken-', '')
  return { id, actorId: actor.id, at, type, tokenId, revision, requestId, ip, userAgent }
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
        secrets: secretsOf(uses),
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

function secretsOf(uses: readonly Use[]): Json {
  const names = [...new Set(uses.map(({ secret }) => secret))]
  return Object.fromEntries(
    names.map((name) => {
      const some = uses.filter(({ secret }) => secret === name)
      const requests = some.reduce((sum, { count }) => sum + count, 0)
      const times = some.map(({ lastAt }) => lastAt).sort()
      return [String(name), { requests, lastAt: times.at(-1) }]
    }),
  )
}

const routesOf = (uses: readonly Use[]): Json =>
  firstByName(
    50,
    uses
      .flatMap(({ routes }) => routes)
      .map(({ method, route, count }) => [`${method} ${route}`, count] as const),
  )

/** The first ones by name, and all others together. */
function firstByName(cap: number, counts: readonly (readonly [name: string, count: number])[]): Json {
  const names = new Set(counts.map(([name]) => name))
  names.delete('* other')
  const named = new Set([...names].slice(0, cap))
  const sums = new Map<string, number>()
  for (const [name, count] of counts) {
    const key = named.has(name) ? name : '* other'
    sums.set(key, (sums.get(key) ?? 0) + count)
  }
  return Object.fromEntries(sums)
}

function activityRows(used: readonly Use[]): Json[] {
  const hours = new Map<string, Use[]>()
  for (const use of used) {
    const key = `${use.tokenId}_${use.firstAt.slice(0, 13)}:00:00.000Z`
    hours.set(key, [...(hours.get(key) ?? []), use])
  }
  const byHour = new Map(usageRows(used).map((row) => [String(row.id).replace('_hour_', '_'), row]))
  return [...hours].map(([id, uses]) => {
    const { granularity: _, secrets: __, ...same } = byHour.get(id) as Json
    const calls = uses.flatMap(callsOf)
    const isOwn = ([, route]: readonly [string, string, number]) => MANAGEMENT.test(route)
    const counts = (some: typeof calls) => some.map(([name, , count]) => [name, count] as const)
    return {
      ...same,
      id,
      routes: firstByName(100, counts(calls.filter((call) => !isOwn(call)))),
      management: firstByName(200, counts(calls.filter(isOwn))),
      addresses: firstByName(
        100,
        uses.flatMap((use) => [
          ...(use.addresses ?? [{ ip: use.lastIp, count: use.count }]).map(
            ({ ip, count }) => [named(ip), count] as const,
          ),
          ...(use.otherAddresses ? [['* other', use.otherAddresses] as const] : []),
        ]),
      ),
      userAgents: firstByName(
        50,
        uses.flatMap((use) => [
          ...(use.userAgents ?? [{ userAgent: use.lastUserAgent, count: use.count }]).map(
            ({ userAgent, count }) => [named(userAgent), count] as const,
          ),
          ...(use.otherUserAgents ? [['* other', use.otherUserAgents] as const] : []),
        ]),
      ),
    }
  })
}

const named = (caller: string | null): string => caller?.replace(/^\*/, '**') ?? '* none'

function callsOf({ outcomes, routes }: Use): [name: string, route: string, count: number][] {
  const [only, second] = Object.keys(outcomes)
  const unsaid = second === undefined ? String(only) : 'unknown'
  return routes.flatMap(({ method, route, count, outcomes: own }) =>
    Object.entries(own ?? { [unsaid]: count }).map(([outcome, n]): [string, string, number] => [
      method === '*' ? '* other' : `${outcome} ${managed(method, route)}`,
      route,
      n,
    ]),
  )
}

const MANAGEMENT = /^\/settings\/api-tokens(\/|$)/

/** The action that a request of these histories asks for. */
function managed(method: string, route: string): string {
  if (!MANAGEMENT.test(route)) return `${method} ${route}`
  const pattern = route
    .replace(/\/r\d+\/r\d+$/, '/*')
    .replace(/\/r\d+\/usage$/, '/:id/usage')
    .replace(/\/r\d+$/, '/:id')
  const isServed = method === 'GET' && !pattern.endsWith('/*')
  return isServed ? `GET ${pattern}` : '* /settings/api-tokens/*'
}
