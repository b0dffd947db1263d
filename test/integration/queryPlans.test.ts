import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { type Document, MongoClient } from 'mongodb'
import { projections } from '../../projections/index.ts'
import { tokens } from '../../projections/tokens.ts'
import type { DocumentChange } from '../../projections/projection.ts'
import { checkPeppers } from '../../scripts/doctor/storeChecks.ts'
import { ids } from '../../src/application/eventLog/ids.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { createRetention } from '../../src/application/retention/retention.ts'
import { startSampler } from '../../src/application/verification/sampler.ts'
import { compareReadModel } from '../../scripts/cli/compareReadModel.ts'
import { withReadModel } from '../../scripts/cli/stores.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { openEventStore, openReadModel } from '../../src/stores/open.ts'
import { bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { eventually } from '../support/suite/eventually.ts'
import { askEverything, type Values } from '../support/callers/everyRequest.ts'
import { jwtFor, PEPPERS, SECRET, startLedger, type TestService } from '../support/processes/ledger.ts'
import { undescribed } from '../support/events/undescribed.ts'
import { describeWithMongod, type Mongod, startMongod } from '../support/stores/mongod.ts'
import { whenAvailable, openPatiently, patient } from '../support/stores/patient.ts'
import { countingTelemetry } from '../support/stores/pieces.ts'
import { sweep } from '../support/suite/sweep.ts'
import { plansIn, recordStatements } from '../support/stores/statements.ts'

const START = Date.parse('2026-11-20T12:00:00.000Z')
const DAY = 86_400_000

const VALUES: Values = {
  q: [undefined, 'token'],
  at: [undefined, '0', '2026-11-20T13:00:00Z'],
  from: [undefined, '2026-11-20T12:30:00Z'],
  to: [undefined, '2026-11-22T01:30:00Z'],
  route: [undefined, '/orders'],
  since: [undefined, '2026-11-20T12:00:00Z'],
  after: [undefined, '0'],
  types: [undefined, 'TokenUpdated,TokenRevoked'],
  idle_days: [undefined, '1'],
  expiring_days: [undefined, '10'],
  unused_days: [undefined, '1'],
  never_expires: [undefined, 'true'],
  counts: [undefined, 'true'],
  daily: [undefined, '3'],
  scope: [undefined, 'a'],
  reason: [undefined],
  account: [undefined, 'acct_1'],
}

const PICKING = ['unused_days', 'expiring_days', 'never_expires']

/**
 * Of what an index picks out of a list, one thing is asked at a time, and for few kinds of lists. What is told beside a
 * list does not depend on its order, nor on what is picked out.
 */
function isOneTooMany(query: URLSearchParams): boolean {
  const isTold = query.has('counts') || query.has('daily')
  if (isTold && query.get('sort') !== 'created_at') return true
  if (query.has('counts') !== query.has('daily')) return true
  const picked = PICKING.filter((name) => query.has(name)).length
  const isPlain =
    !query.has('q') && !query.has('hint') && !['expired', 'revoked'].includes(query.get('status') ?? '')
  return query.has('sort') && picked > (isPlain ? 1 : 0)
}

/** Makes tokens of every kind, then asks every question there is: over HTTP, by commands, and in the background. */
async function askAll(
  folder: string,
  readModelUrl: string,
  before: () => Promise<void>,
  step = 1,
): Promise<number> {
  let now = START
  const service = await whenAvailable(() => startLedger({ clock: () => now, readModelUrl }, folder))
  const owner = callerOf(service.url, bearer(jwtFor('acct_1')), true)
  const used = await live(service, (time) => (now = time))
  await before()
  const places = { id: used.id, rest: 'orders', file: 'start.js' }
  const isOfOperators = (path: string): boolean => path.startsWith('/admin/')
  const isOfAccounts = (path: string): boolean => !isOfOperators(path)
  const only = { step, isLeftOut: isOneTooMany }
  let asked = await askEverything(owner, places, VALUES, { ...only, isAsked: isOfAccounts })
  const operator = callerOf(service.url, bearer(jwtFor('ann', { scope: 'tokenledger:operator' })), true)
  const byHint = { ...VALUES, hint: [undefined, used.hint] }
  asked += await askEverything(operator, places, byHint, { ...only, isAsked: isOfOperators })
  const fewer = Object.fromEntries(
    ['q', 'at', 'from', 'to', 'route', 'since'].map((name) => [name, [undefined]]),
  )
  const itself = callerOf(service.url, tokenHeader(used.token), true)
  asked += await askEverything(itself, places, { ...VALUES, ...fewer }, { ...only, isAsked: isOfAccounts })
  await createToken(owner, { name: 'counted' })
  await service.close()
  await askInside(folder, readModelUrl, now)
  return asked
}

async function live(service: TestService, setTime: (time: number) => void) {
  const owner = callerOf(service.url, bearer(jwtFor('acct_1')), true)
  const expiring = { expires_at: new Date(START + DAY).toISOString() }
  const late = { expires_at: new Date(START + 9 * DAY).toISOString() }
  const inputs = [{}, {}, expiring, expiring, late, late, {}, {}, {}]
  const made = []
  for (const [i, input] of inputs.entries()) {
    made.push(await createToken(owner, { name: `token ${i % 4}`, ...input }))
    if (i % 2 === 0) setTime(START + i * 1000)
  }
  const [used, other, , , soon, , first, second, self] = made as [(typeof made)[0], ...typeof made]
  for (const one of [used, other, soon, first])
    await callerOf(service.url, tokenHeader(String(one?.token)), true).get('/auth/verify')
  for (const one of [first, second]) await owner.delete(`${TOKENS}/${one?.id}`)
  await callerOf(service.url, tokenHeader(String(self?.token)), true).delete(`${TOKENS}/self`)
  await owner.patch(`${TOKENS}/${used.id}`, { name: 'token renamed' })
  await eventually(async () => {
    for (const one of [used, other, soon])
      expect((await owner.get(`${TOKENS}/${one?.id}`)).body.last_accessed).to.not.equal(null)
  })
  setTime(START + 2 * DAY)
  return used
}

/** The questions that do not come by HTTP: commands about all accounts, and the work in the background. */
async function askInside(folder: string, readModelUrl: string, now: number): Promise<void> {
  const urls = { EVENT_STORE_URL: `sqlite:${folder}/events.db`, READ_MODEL_URL: readModelUrl }
  const settings = readSettings({ JWT_SECRET: SECRET, TOKEN_PEPPERS: PEPPERS, ...urls })
  const telemetry = countingTelemetry()
  const clock = () => now
  const askQueries = (): Promise<void> =>
    withReadModel(settings, clock, async ({ queries }) => {
      const range = { from: '2026-11-20T00:00:00.000Z', to: '2026-11-23T00:00:00.000Z' }
      await queries.report(null, { ...range, idleDays: 1, expiringDays: 30, limit: 10 })
      for (const granularity of ['hour', 'day'] as const)
        await queries.usageOfAccount('acct_1', { ...range, granularity })
    })
  await whenAvailable(askQueries)
  await whenAvailable(() => checkPeppers(settings))
  await whenAvailable(() => compareReadModel(settings, { log: telemetry.log }))
  const store = await openEventStore(settings)
  const readModel = patient(await whenAvailable(() => openReadModel(settings)))
  await readModel.open(projections)
  await workInside(store, readModel, now)
  await Promise.all([store.close(), readModel.close()])
}

async function workInside(
  store: Awaited<ReturnType<typeof openEventStore>>,
  readModel: ReadModel,
  now: number,
): Promise<void> {
  const telemetry = countingTelemetry()
  const sampling = { log: telemetry.log, checked() {}, differed() {} }
  const common = { store, readModel, projections, random: Math.random }
  const sampler = startSampler({ ...common, telemetry: sampling, everyMs: 1 })
  await sleep(200)
  await sampler.stop()
  const clock = () => now + 3 * DAY
  await createRetention({ store, clock, ids, telemetry, days: 1, leads: () => true }).run()
}

describe('Every query', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-plans-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('is served by an index on SQLite, in both files', async function () {
    const recorder = await recordStatements()
    const asked = await askAll(folder, `sqlite:${folder}/read-model.db`, async () => {}).finally(
      recorder.stop,
    )
    expect(asked).to.be.greaterThan(300)
    const { statements } = recorder
    const [model, log] = [
      await plansIn(join(folder, 'read-model.db'), statements),
      await plansIn(join(folder, 'events.db'), statements),
    ]
    expect(model.explained.length).to.be.greaterThan(60)
    expect(log.explained.length).to.be.greaterThan(10)
    expect([...model.problems, ...log.problems]).to.deep.equal([])
  })

  it('would be found without one', async () => {
    const recorder = await recordStatements()
    const service = await startLedger({}, folder)
    await service.close()
    recorder.stop()
    const table = `tokens_v${tokens.version}`
    const bad = [
      `SELECT id FROM ${table} ORDER BY f_name LIMIT 1`,
      `SELECT doc FROM ${table} WHERE doc = ?`,
      `SELECT id FROM ${table} WHERE f_accountId = ? AND f_phase = 'active' ORDER BY f_name DESC, id ASC LIMIT 1`,
    ]
    const { problems } = await plansIn(join(folder, 'read-model.db'), bad)
    expect(problems).to.have.lengthOf(bad.length)
  })

  describeWithMongod('on MongoDB', () => {
    let server: Mongod

    before(async () => {
      server = await startMongod({ set: 'rs0' })
    })
    after(() => server.stop())

    const parts = sweep('parts of the questions', 5, 1)
    const step = 5 / parts.amount
    it(`is served by an index, and looks at no more of it than it takes${parts.note}`, async function () {
      this.timeout(1_500_000)
      const url = server.url(`plans-${randomUUID()}`)
      const client = new MongoClient(url)
      const database = client.db()
      const profiled = async (): Promise<void> => {
        await bury(url)
        await database.createCollection('system.profile', { capped: true, size: 128 * 1024 * 1024 })
        await database.command({ profile: 2 })
      }
      await askAll(folder, url, profiled, step)
      await database.command({ profile: 0 })
      const operations = await database.collection('system.profile').find().toArray()
      await client.close()
      const explained = operations.filter(isQuery)
      expect(explained.length).to.be.greaterThan(1_000 / step)
      expect([...new Set(explained.flatMap(problemsOf))]).to.deep.equal([])
    })
  })
})

const DEAD = 3_000

/** Adds dead tokens to the account, as many revoked as expired, which every list has to pass by. */
async function bury(url: string): Promise<void> {
  const model = await openPatiently(url)
  await model.open(projections)
  const time = new Date(START - DAY).toISOString()
  const changes = Array.from({ length: DEAD }, (_, i): DocumentChange => {
    const isRevoked = i % 2 === 0
    const fields = {
      accountId: 'acct_1',
      name: `dead ${i % 9}`,
      nameFolded: `dead ${i % 9}`,
      hash: `dead ${i}`,
      hashKeyId: 'k1',
      hint: '…',
      secret: { revision: 0, hint: '…' },
      ...undescribed,
      scopes: [],
      createdBy: { kind: 'jwt', id: 'acct_1' },
      createdAt: time,
      updatedAt: time,
      expiresAt: isRevoked ? null : time,
      revokedAt: isRevoked ? time : null,
      // Of some that have expired only the clock knows it.
      phase: isRevoked ? 'revoked' : i % 4 === 1 ? 'expired' : 'active',
      revision: 0,
    }
    return { kind: 'put', collection: 'tokens', id: ids.random(), revision: 0, fields }
  })
  await model.apply(changes)
  await model.close()
}

/** A change stream reads the server's own log, and this test reads the profile, so neither counts as a query. */
const isQuery = ({ ns, planSummary, originatingCommand }: Document): boolean =>
  planSummary !== undefined &&
  !String(ns).endsWith('.system.profile') &&
  !JSON.stringify(originatingCommand ?? '').includes('$changeStream')

/** How many rows may be read that are neither returned nor counted. */
const LOOKED_AT = 1_001
const COUNTED = 5_001

function problemsOf({
  ns,
  op,
  planSummary,
  hasSortStage,
  keysExamined,
  nreturned,
  command,
}: Document): string[] {
  const isCounted = command.skip !== undefined || JSON.stringify(command.pipeline ?? '').includes('"$sum"')
  const most = isCounted ? COUNTED : command.pipeline ? LOOKED_AT : 2 * Number(nreturned ?? 0) + 3
  const problems = [
    ...(String(planSummary).includes('COLLSCAN') ? ['reads the whole collection'] : []),
    ...(hasSortStage ? ['sorts'] : []),
    ...(op !== 'update' && Number(keysExamined) > most ? [`looks at ${keysExamined} for ${nreturned}`] : []),
  ]
  return problems.map((problem) => `${problem}: ${op} on ${ns}: ${planSummary} ${JSON.stringify(command)}`)
}
