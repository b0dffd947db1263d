import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect } from 'chai'
import fc from 'fast-check'
import { projections } from '../../projections/index.ts'
import { openSqliteReadModel } from '../../src/adapters/sqlite/readModel.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import type { Step as LogStep } from '../../src/application/ports/checkpoints.ts'
import type { RecordedEvent } from '../../src/domain/events.ts'
import { undescribed } from '../support/events/undescribed.ts'
import { describeOnMongo, type MongoServer, someMongo } from '../support/stores/mongod.ts'
import { openPatiently } from '../support/stores/patient.ts'
import { sweep } from '../support/suite/sweep.ts'
import { type Expected, expectedAfter, type Happened } from './projections.reference.ts'

const START = Date.parse('2026-11-02T22:30:00.000Z')
const TOKENS = 3
const ROUTES = 70

const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const time = (seconds: number): string => new Date(START + seconds * 1_000).toISOString()

// --- Random histories. A step is something that may happen next, and is skipped if it cannot happen ---------------

const token = fc.nat(TOKENS - 1)
const change = fc.record(
  {
    name: fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' }),
    scopes: fc.array(fc.constantFrom('read', 'write'), { maxLength: 2 }),
    // Some are told beforehand, and some so late that nothing is told.
    expiresAt: fc.option(fc.oneof(fc.nat(100), fc.nat(10_000_000)).map(time)),
    description: fc.option(fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' })),
    metadata: fc.dictionary(fc.constantFrom('team', 'a.b', '__proto__', '-'), fc.string({ maxLength: 3 })),
    allowedIps: fc.option(fc.constant(['192.0.2.0/24', '::1'])),
    rotatable: fc.boolean(),
  },
  { requiredKeys: [] },
)
const call = fc.tuple(fc.nat(ROUTES - 1), fc.integer({ min: 1, max: 9 }), fc.boolean())
const WORDS = [null, '* other', '* none', '**', '__proto__', 'a.b', '$c', '']
const callers: fc.Arbitrary<[caller: string | null, count: number][]> = fc.oneof(
  fc.array(fc.tuple(fc.constantFrom(...WORDS), fc.integer({ min: 1, max: 9 })), {
    minLength: 2,
    maxLength: 4,
  }),
  // Sometimes there are more than a bucket names.
  fc.array(fc.tuple(fc.nat(150).map(String), fc.integer({ min: 1, max: 9 })), {
    minLength: 30,
    maxLength: 60,
  }),
)
const use = fc.record({
  token,
  secret: fc.constantFrom(0, 2, 12),
  // Clocks of several processes differ, so the order of the log is not the order of times.
  from: fc.nat(3 * 3_600),
  length: fc.nat(60),
  outcomes: fc.dictionary(fc.constantFrom('2xx', '4xx', '5xx'), fc.integer({ min: 1, max: 9 }), {
    minKeys: 1,
  }),
  // Sometimes there are more routes than a bucket names.
  routes: fc.oneof(fc.array(call, { maxLength: 5 }), fc.array(call, { minLength: 25, maxLength: 40 })),
  callers: fc.option(fc.record({ addresses: callers, userAgents: callers }), { nil: undefined }),
  others: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }),
})
const step = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('create' as const), token, change }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('import' as const),
      token,
      // Times before, among and after the uses.
      lastAccessed: fc.option(fc.integer({ min: -10_000, max: 10_000 }).map(time)),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('update' as const), token, change }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('revoke' as const), token }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('notice' as const),
      token,
      days: fc.constantFrom(30, 7, 1, 0),
      expiresAt: fc.nat(10_000_000).map(time),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('rotate' as const),
      token,
      activate: fc.constantFrom('now', 'on_first_use'),
      graceSeconds: fc.constantFrom(0, 60),
      retiresAt: fc.option(fc.constant(time(50))),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('activate' as const),
      token,
      graceSeconds: fc.option(fc.constantFrom(0, 60)),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leak' as const), token }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('end' as const),
      token,
      status: fc.constantFrom('pending', 'grace'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('refuse' as const),
      writer: fc.nat(2),
      // Several in one event, and often of the same day.
      entries: fc.array(
        fc.record({
          token,
          secret: fc.nat(3),
          from: fc.nat(3 * 3_600),
          count: fc.integer({ min: 1, max: 9 }),
        }),
        { minLength: 1, maxLength: 3 },
      ),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('use' as const),
      writer: fc.nat(2),
      // Several in one event, and often of the same bucket.
      uses: fc.array(use, { minLength: 1, maxLength: 3 }),
      isOfOldType: fc.boolean(),
    }),
  },
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

/** The first secret of a token is the one that it was made with; no two secrets are the same. */
const secretOf = (tokenId: string, n: number): Record<string, unknown> => ({
  hash: `${n}`.padStart(4, '0').repeat(4) + tokenId.replaceAll('-', '').padEnd(48, '0').slice(0, 48),
  hashKeyId: 'k2',
  hint: `secret ${n}`,
})

function historyOf(steps: readonly Step[]): Happened[] {
  const history: Happened[] = []
  const next = new Map<string, number>()
  const ended = new Set<number>()
  /** Whose the token of a stream is. */
  const owners = new Map<string, string>()

  const happen = (stream: string, type: string, data: Record<string, unknown>): void => {
    const n = history.length + 1
    const revision = next.get(stream) ?? 0
    next.set(stream, revision + 1)
    const actor = type === 'TokenRevoked' ? { kind: 'token', id: uuid(1) } : { kind: 'jwt', id: 'account-1' }
    const metadata = {
      at: time(n),
      actor,
      requestId: uuid(n),
      ip: '::1',
      userAgent: null,
      chain: `link ${n}`,
    }
    history.push({
      id: uuid(n),
      type,
      stream,
      revision,
      position: String(n).padStart(16, '0'),
      ...(owners.has(stream) && { accountId: owners.get(stream) }),
      metadata,
      data,
    })
  }

  /** Only of tokens that there are. */
  const happenUses = ({ uses, writer, isOfOldType }: Extract<Step, { kind: 'use' }>): void => {
    const entries = uses.map(entryOf).filter(({ tokenId }) => next.has(`apiToken-${tokenId}`))
    const stream = `tokenUsage-${writer}_20261102`
    if (isOfOldType) for (const { secret: _, ...data } of entries) happen(stream, 'TokenUsed', data)
    else if (entries.length > 0) happen(stream, 'TokensUsed', { entries })
  }

  /** Such an event may come before anything is known of the token. */
  const happenRefusals = ({ entries, writer }: Extract<Step, { kind: 'refuse' }>): void =>
    happen(`tokenUsage-${writer}_20261102`, 'RetiredSecretsUsed', {
      entries: entries.map(({ token: n, from, ...entry }) => ({
        ...entry,
        tokenId: uuid(900_000 + n),
        accountId: `account-${n % 2}`,
        firstAt: time(from),
        lastAt: time(from + 30),
        lastIp: null,
        lastUserAgent: null,
      })),
    })

  for (const one of steps) {
    if (one.kind === 'use') {
      happenUses(one)
      continue
    }
    if (one.kind === 'refuse') {
      happenRefusals(one)
      continue
    }
    const tokenId = uuid(900_000 + one.token)
    const stream = `apiToken-${tokenId}`
    const accountId = `account-${one.token % 2}`
    if ((one.kind === 'create' || one.kind === 'import') === next.has(stream)) continue
    owners.set(stream, accountId)
    switch (one.kind) {
      case 'create':
        happen(stream, 'TokenCreated', {
          tokenId,
          accountId,
          hash: String(one.token).repeat(64),
          hashKeyId: 'k1',
          hint: 'abcd',
          name: 'First',
          scopes: [],
          expiresAt: null,
          ...undescribed,
          ...one.change,
        })
        break
      case 'import':
        happen(stream, 'TokenImported', {
          tokenId,
          accountId,
          hash: String(one.token).repeat(64),
          hashKeyId: 'sha256',
          hint: '…',
          name: 'Old',
          scopes: [],
          createdAt: time(-20_000),
          updatedAt: time(-15_000),
          lastAccessed: one.lastAccessed,
          expiresAt: null,
          oldId: '17',
          description: 'Older',
          metadata: { row: '17', 'a.b': '', ['__proto__']: 'own' },
          allowedIps: ['10.0.0.0/8'],
        })
        break
      case 'update':
        if (!ended.has(one.token) && Object.keys(one.change).length > 0)
          happen(stream, 'TokenUpdated', one.change)
        break
      case 'revoke':
        if (!ended.has(one.token)) happen(stream, 'TokenRevoked', { reason: null })
        ended.add(one.token)
        break
      case 'notice':
        if (one.days === 0) happen(stream, 'TokenExpired', { expiresAt: one.expiresAt })
        else happen(stream, 'TokenExpiring', { days: one.days, expiresAt: one.expiresAt })
        break
      case 'rotate':
        happen(stream, 'TokenRotationStarted', {
          ...secretOf(tokenId, history.length),
          activate: one.activate,
          graceSeconds: one.graceSeconds,
          beside: { revision: 0, ...secretOf(tokenId, 0), retiresAt: one.retiresAt },
        })
        break
      case 'activate':
        happen(stream, 'TokenSecretActivated', {
          revision: 1,
          hint: 'newer',
          graceSeconds: one.graceSeconds,
        })
        break
      case 'leak':
        happen(stream, 'TokenLeaked', { source: 'github', url: 'https://x', type: 't', hint: 'leaked' })
        break
      case 'end':
        happen(stream, 'TokenRotationEnded', {
          status: one.status,
          hint: 'dead',
          remaining: { revision: 1, ...secretOf(tokenId, 0) },
        })
        break
    }
  }
  return history
}

const entryOf = (one: typeof use extends fc.Arbitrary<infer U> ? U : never) => ({
  tokenId: uuid(900_000 + one.token),
  accountId: `account-${one.token % 2}`,
  secret: one.secret,
  count: Object.values(one.outcomes).reduce((sum, n) => sum + n, 0),
  firstAt: time(one.from),
  lastAt: time(one.from + one.length),
  outcomes: one.outcomes,
  tokenRevision: 0,
  lastIp: null,
  lastUserAgent: null,
  routes: [
    ...one.routes.map(([n, count, isKept]) => ({
      ...(n % 7 === 0 ? managing(n) : { method: 'GET', route: `/r${n}` }),
      count,
      ...(isKept ? { outcomes: { '2xx': 1, '5xx': count } } : {}),
    })),
    ...(one.others ? [{ method: '*', route: 'other', count: one.others }] : []),
  ],
  ...(one.callers && {
    addresses: one.callers.addresses.map(([ip, count]) => ({ ip, count })),
    userAgents: one.callers.userAgents.map(([userAgent, count]) => ({ userAgent, count })),
  }),
  ...(one.others && { otherAddresses: one.others, otherUserAgents: one.others }),
})

/** Requests to the routes that manage tokens, of every kind that is counted in its own way. */
function managing(n: number): { method: string; route: string } {
  const route = ['', `/r${n}`, `/r${n}/usage`, `/r${n}/r${n}`, '/self'][n % 5] ?? ''
  return { method: ['GET', 'BREW'][n % 2] ?? '', route: `/settings/api-tokens${route}` }
}

/**
 * The history after retention: there are totals of everything up to each cut, and any of the uses before it may be
 * gone.
 */
function rolledUp(history: readonly Happened[], cuts: readonly number[], isKept: () => boolean): Happened[] {
  const log = [...history]
  const ends = cuts.map((cut) => cut % history.length).sort((a, b) => b - a)
  const [last = 0] = ends
  for (const end of ends) log.splice(end, 0, ...totalsOf(history.slice(0, end)))
  const isCovered = new Set(
    history.slice(0, last).filter(({ type }) => type === 'TokenUsed' || type === 'TokensUsed'),
  )
  return log.filter((event) => !isCovered.has(event) || isKept())
}

/** The totals are made by the plain fold, not by the product. */
function totalsOf(past: readonly Happened[]): Happened[] {
  const byTokenAndDay = new Map<string, Record<string, unknown>[]>()
  for (const row of expectedAfter(past).tokenUsage) {
    const key = `${String(row.tokenId)} ${String(row.at).slice(0, 10)}`
    byTokenAndDay.set(key, [...(byTokenAndDay.get(key) ?? []), row])
  }
  return [...byTokenAndDay].map(([key, rows], i) => {
    const [tokenId, day = ''] = key.split(' ')
    const buckets = rows.map(({ requests: count, routes, secrets, ...row }) => ({
      ...row,
      count,
      secrets: Object.entries(secrets as Record<string, { requests: number; lastAt: string }>).map(
        ([secret, { requests, lastAt }]) => ({ secret: Number(secret), count: requests, lastAt }),
      ),
      routes: Object.entries(routes as Record<string, number>).map(([name, n]) => {
        const [method, route] = name.split(' ')
        return { method, route, count: n }
      }),
    }))
    return {
      ...(past.at(-1) as Happened),
      id: uuid(800_000 + i),
      type: 'UsageRolledUp',
      stream: `tokenUsageDaily-${day.replaceAll('-', '')}`,
      // A position between the last event before it and the next one.
      position: `${past.at(-1)?.position}-${String(i).padStart(4, '0')}`,
      data: { tokenId, accountId: rows[0]?.accountId, day, buckets },
    }
  })
}

const histories = fc.array(step, { minLength: 5, maxLength: 80, size: 'max' }).map(historyOf)
const isLifecycle = ({ stream }: Happened): boolean => stream.startsWith('apiToken-')

// --- The product -------------------------------------------------------------------------------------------------

/** The step begins wherever each projection is, since these tests apply changes in any order. */
const stepTo = (position: string): LogStep => ({
  from: new Map(projections.map((one) => [one, null])),
  to: new Map(projections.map((one) => [one, { position, id: position, link: '', kept: null }])),
})

const apply = (model: ReadModel, events: readonly Happened[], checkpoint = true): Promise<void> => {
  const recorded = events as unknown as readonly RecordedEvent[]
  const changes = recorded.flatMap((event) =>
    projections.flatMap((projection) =>
      projection.events.includes(event.type) ? projection.project(event) : [],
    ),
  )
  const last = recorded.at(-1)
  return model.apply(changes, checkpoint && last ? stepTo(last.position) : undefined)
}

async function documentsOf(model: ReadModel): Promise<Expected> {
  const all = async (collection: string): Promise<Record<string, unknown>[]> =>
    model.find(collection, { where: [], limit: 10_000 })
  return {
    tokens: await all('tokens'),
    tokenHistory: await all('tokenHistory'),
    tokenUsage: await all('tokenUsage'),
    tokenActivity: await all('tokenActivity'),
    tokenActions: await all('tokenActions'),
    rotatedSecrets: await all('rotatedSecrets'),
    retiredSecretUses: await all('retiredSecretUses'),
    leaks: await all('leaks'),
  }
}

const sorted = (rows: Record<string, unknown>[]): Record<string, unknown>[] =>
  [...rows].sort((a, b) => (String(a.id) < String(b.id) ? -1 : 1))

/** @param gone are some of the uses no longer in the log? Then some documents still count them */
function expectDocuments(actual: Expected, history: readonly Happened[], gone: boolean): void {
  const expected = expectedAfter(history)
  for (const collection of Object.keys(expected) as (keyof Expected)[]) {
    if (gone && outliving.has(collection)) continue
    expect(actual[collection], collection).to.deep.equal(sorted(expected[collection]))
  }
}

const outliving = new Set(
  projections
    .flatMap(({ collections }) => collections)
    .flatMap(({ name, outlivesEvents }) => (outlivesEvents === undefined ? [] : [name])),
)

const validate = new Map(
  projections
    .flatMap(({ collections }) => collections)
    .map(({ name, schema }) => [name, new Ajv2020().compile(schema)] as const),
)

function expectDeclaredForm(actual: Expected): void {
  for (const [collection, documents] of Object.entries(actual)) {
    const isValid = validate.get(collection)
    for (const document of documents)
      expect(isValid?.(document), isValid?.errors?.[0]?.message).to.equal(true)
  }
}

interface Place {
  /** An empty read model. */
  open(): Promise<ReadModel>
  runs: number
}

function holdsForAnyHistory({ open, runs }: Place): void {
  const forAny = <T>(
    extra: fc.Arbitrary<T>,
    play: (model: ReadModel, history: Happened[], extra: T) => Promise<void>,
    { gone = false } = {},
  ) =>
    fc.assert(
      fc.asyncProperty(histories, extra, async (history, more) => {
        const model = await open()
        try {
          await model.open(projections)
          await play(model, history, more)
          const documents = await documentsOf(model)
          expectDocuments(documents, history, gone)
          expectDeclaredForm(documents)
          const last = history.at(-1)
          if (last)
            expect((await model.checkpoint(projections[0] as (typeof projections)[0]))?.position).to.equal(
              last.position,
            )
        } finally {
          await model.close()
        }
      }),
      { numRuns: runs, interruptAfterTimeLimit: 20_000 },
    )

  it('gives what a plain fold gives', () =>
    forAny(fc.constant(null), async (model, history) => {
      for (const event of history) await apply(model, [event])
    }))

  it('gives the same when batches are delivered again', () =>
    forAny(
      fc.array(
        fc.record({
          size: fc.integer({ min: 1, max: 9 }),
          back: fc.nat(12),
          times: fc.integer({ min: 1, max: 3 }),
        }),
        { minLength: 1, maxLength: 20 },
      ),
      async (model, history, batches) => {
        for (let at = 0, i = 0; at < history.length; i++) {
          const { size, back, times } = batches[i % batches.length] ?? { size: 1, back: 0, times: 1 }
          const batch = history.slice(Math.max(0, at - back), at + size)
          await Promise.all(Array.from({ length: times }, () => apply(model, batch)))
          at += size
        }
      },
    ))

  it('gives the same when lifecycle events are applied early too, in any order', () =>
    forAny(fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), async (model, history, dice) => {
      const drawn = history.filter(isLifecycle).map((event) => ({ event, at: dice.next().value as number }))
      const shuffled = drawn.sort((a, b) => a.at - b.at).map(({ event }) => event)
      const early = shuffled.slice(0, Math.ceil(shuffled.length * (dice.next().value as number)))
      for (const event of early) await apply(model, [event], false)
      const half = Math.floor(history.length / 2)
      await apply(model, history.slice(0, half))
      for (const event of shuffled) await apply(model, [event], false)
      await apply(model, history.slice(half))
    }))

  it('gives the same when days are rolled up and any of the uses in them are gone', () =>
    forAny(
      fc.tuple(
        fc.array(fc.nat(1_000), { minLength: 1, maxLength: 3 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
      ),
      async (model, history, [cuts, share, dice]) => {
        if (history.length === 0) return
        const log = rolledUp(history, cuts, () => (dice.next().value as number) < share)
        const half = Math.floor(log.length / 2)
        await apply(model, log.slice(0, half))
        await apply(model, log)
      },
      { gone: true },
    ))

  it('gives the same when days are rolled up and seen again from an earlier checkpoint, with uses gone since', () =>
    forAny(
      fc.tuple(fc.array(fc.nat(1_000), { minLength: 1, maxLength: 3 }), fc.nat(1_000)),
      async (model, history, [cuts, from]) => {
        if (history.length === 0) return
        await apply(
          model,
          rolledUp(history, cuts, () => true),
        )
        const left = rolledUp(history, cuts, () => false)
        await apply(model, left.slice(from % left.length))
      },
    ))

  it('gives the same when it is cut anywhere and replayed from an earlier checkpoint', () =>
    forAny(fc.tuple(fc.nat(100), fc.nat(100)), async (model, history, [first, second]) => {
      const cut = Math.min(history.length, Math.max(first, second))
      await apply(model, history.slice(0, cut))
      await apply(model, history.slice(Math.min(first, second)))
    }))
}

const onSqlite = sweep('histories', 60, 10)

describe(`projections on SQLite, for any history${onSqlite.note}`, () => {
  let directory: string
  let count = 0

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'tokenledger-property-'))
  })

  after(() => rmSync(directory, { recursive: true, force: true }))

  holdsForAnyHistory({
    open: () => openSqliteReadModel(join(directory, `${count++}.db`)),
    runs: onSqlite.amount,
  })
})

const onMongo = sweep('histories', 15, 3)

describeOnMongo(`projections on MongoDB, for any history${onMongo.note}`, () => {
  let server: MongoServer
  let count = 0

  before(async () => {
    server = await someMongo()
  })

  after(() => server.stop())

  holdsForAnyHistory({ open: () => openPatiently(server.url(`property-${count++}`)), runs: onMongo.amount })
})
