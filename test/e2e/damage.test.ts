import { expect } from 'chai'
import { openDatabase } from '../../src/adapters/sqlite/database/database.ts'
import { tokenStream } from '../../src/domain/streams.ts'
import { apiOf, type Token } from '../support/callers/api.ts'
import {
  type Account,
  askEverything,
  copyOf,
  type Flip,
  makeOriginal,
  type Original,
  placesIn,
  removeReadModel,
} from '../support/stores/damage.ts'
import { startLedger, type TestService } from '../support/processes/ledger.ts'
import { endServices, failingService, ownFolder, startService } from '../support/processes/service.ts'
import { sweep } from '../support/suite/sweep.ts'

const NEVER = 3_600_000

/** Counts warnings and errors in the log, by message and error. */
function collectingLog() {
  const lines: string[] = []
  const add = (fields: object, message: string) =>
    void lines.push(`${message} ${JSON.stringify(fields)}${textOf(fields)}`)
  return { lines, log: { debug() {}, info() {}, warn: add, error: add } }
}

const textOf = (fields: { err?: unknown }): string => (fields.err instanceof Error ? fields.err.message : '')

const isError = (status: number): boolean => status >= 500 && status < 600

async function refusedEvents({ ledger }: TestService): Promise<number> {
  const counts = [...(await ledger.metrics()).matchAll(/^tokenledger_events_refused_total\{.*\} (\d+)/gm)]
  return counts.reduce((sum, [, count]) => sum + Number(count), 0)
}

/** The answer says itself that the data are damaged or may be old. */
const isDamaged = (body: unknown): boolean =>
  (body as Token).status === 'damaged' || (body as { code?: string }).code === 'token_damaged'

const essence = ({ name, status, revision }: Token) => ({ name, status, revision })

/**
 * Every answer must be the truth or an error. If the log has named events that it refused, something may be missing.
 */
function assertNoLie(told: Account, truth: Account, mayMiss: boolean): void {
  told.tokens.forEach((one, i) => {
    const real = truth.tokens[i] as Account['tokens'][number]
    if (!isError(one.use) && !(mayMiss && one.use === 401)) expect(one.use, `use of ${i}`).to.equal(real.use)
    for (const kind of ['read', 'patch', 'events', 'usage'] as const) {
      const { status, body } = one[kind]
      // A change reads the token's stream, and the log itself says that it is damaged.
      if (
        isError(status) ||
        (kind === 'patch' && isDamaged(body)) ||
        (mayMiss && (status === 404 || isDamaged(body)))
      )
        continue
      expect(status, `${kind} of ${i}`).to.equal(real[kind].status)
      if (status !== 200) continue
      if (kind === 'read' || kind === 'patch') {
        expect(essence(body as Token), `${kind} of ${i}`).to.deep.equal(essence(real[kind].body))
      } else if (kind === 'events') {
        // For a damaged token, only the sound events have to be there.
        if (mayMiss && isDamaged(one.read.body))
          expect(real.events.body.data).to.deep.include.members(one.events.body.data)
        else expect(one.events.body.data, `events of ${i}`).to.deep.equal(real.events.body.data)
      } else {
        const [requests, uses] = [one.usage.body.total.requests, real.usage.body.total.requests]
        expect(requests, `usage of ${i}`).to.be.within(mayMiss ? 0 : uses, uses)
      }
    }
  })
  told.lists.forEach(({ status, body }, i) => {
    if (isError(status)) return
    expect(status).to.equal(200)
    const trusted = body.data.filter((token) => !(mayMiss && isDamaged(token)))
    const shown = trusted.map((token) => [token.id, essence(token)])
    const real = (truth.lists[i] as Account['lists'][number]).body.data.map((token) => [
      token.id,
      essence(token),
    ])
    if (mayMiss) expect(real).to.deep.include.members(shown)
    else expect(shown, `list ${i}`).to.deep.equal(real)
  })
  if (!isError(told.total.status)) {
    const uses = truth.total.body.total.requests
    expect(told.total.body.total.requests).to.be.within(mayMiss ? 0 : uses, uses)
  }
}

describe('a flipped bit', () => {
  let original: Original
  let truth: Account

  before(async () => {
    original = await makeOriginal()
    const service = await startLedger({ usageFlushMs: NEVER }, await copyOf(original, null))
    truth = await askEverything(apiOf(service.url), original)
    await service.close()
    expect(truth.tokens.map(({ use }) => use)).to.deep.equal([200, 200, 200, 401, 401, 200])
  })
  after(endServices)

  /** @returns whether the start was refused, or every answer was the truth or an error */
  async function outcomeOf(flip: Flip, rebuild: boolean): Promise<'refused' | 'served'> {
    const folder = await copyOf(original, flip)
    if (rebuild) await removeReadModel(folder)
    const { lines, log } = collectingLog()
    const service = await startLedger({ usageFlushMs: NEVER, log }, folder).catch((error: Error) => error)
    if (service instanceof Error) {
      expect(service.message).to.match(
        /damaged|malformed|not a database|not as it was left|no event at|event store|no such|already exists|format|was written/,
      )
      return 'refused'
    }
    try {
      const told = await askEverything(apiOf(service.url), original)
      const refused = await refusedEvents(service)
      if (refused > 0)
        expect(lines.filter((line) => line.startsWith('event refused'))).to.have.lengthOf(refused)
      assertNoLie(told, truth, refused > 0)
    } finally {
      await service.close()
    }
    return 'served'
  }

  for (const [file, flips, rebuild] of [
    ['events.db', sweep('flips', 40, 8), false],
    ['events.db', sweep('flips', 40, 8), true],
    ['read-model.db', sweep('flips', 8, 3), false],
  ] as const) {
    const title = `in ${file} makes errors, never another truth${rebuild ? ', also of a rebuild' : ''}`
    it(title + flips.note, async () => {
      const count = flips.amount
      const outcomes = { refused: 0, served: 0 }
      for (const flip of await placesIn(original, file, count)) {
        try {
          outcomes[await outcomeOf(flip, rebuild)]++
        } catch (error) {
          ;(error as Error).message = `byte ${flip.at}, bit ${flip.bit}: ${(error as Error).message}`
          throw error
        }
      }
      if (file === 'read-model.db') expect(outcomes).to.deep.equal({ refused: count, served: 0 })
      else expect(outcomes.served).to.be.above(count / 2)
    })
  }

  const stops = sweep('flips', 3, 1)
  it(`in the read model stops the real service with a message that says what to do${stops.note}`, async () => {
    const env = { EVENT_STORE_URL: 'sqlite:events.db', READ_MODEL_URL: 'sqlite:read-model.db' }
    // One of these flips is in the index by hash. Without the check of the whole file, a good token would be unknown.
    for (const flip of await placesIn(original, 'read-model.db', stops.amount)) {
      const folder = await copyOf(original, flip)
      const { code, stderr } = await failingService(env, folder)
      expect(code).to.equal(1)
      expect(stderr).to.match(/read-model\.db is not as it was left: remove it/)
      await removeReadModel(folder)
      const service = await startService(env, folder)
      const uses = await Promise.all(original.tokens.map(({ token }) => apiOf(service.url).use(token)))
      expect(uses).to.deep.equal(truth.tokens.map(({ use }) => use))
    }
  })
})

describe('an event altered in the store', () => {
  afterEach(endServices)

  /** Makes two tokens and renames one. Then the event of the renaming is altered in the file. */
  async function altered(revision: number) {
    const folder = await ownFolder()
    const service = await startLedger({}, folder)
    const api = apiOf(service.url)
    const victim = (await api.create({ name: 'victim' })).body
    await api.patch(victim.id, { name: 'victim, renamed' })
    await api.patch(victim.id, { scopes: ['a'] })
    const other = (await api.create({ name: 'other' })).body
    await service.close()
    const database = await openDatabase(`${folder}/events.db`, { synchronous: 'FULL' })
    database
      .prepare(
        `UPDATE events SET data = replace(data, 'victim', 'Mallory') WHERE stream = ? AND revision = ?`,
      )
      .run(tokenStream(victim.id), revision)
    database.close()
    return { folder, victim, other }
  }

  for (const revision of [0, 1]) {
    it(`is named where it is read: revision ${revision}`, async () => {
      const { folder, victim, other } = await altered(revision)
      const { lines, log } = collectingLog()
      const service = await startLedger({ log }, folder)
      const api = apiOf(service.url)
      const { status, body, headers } = await api.call('GET', `/settings/api-tokens/${victim.id}?at=2`)
      expect([status, (body as { code: string }).code]).to.deep.equal([409, 'token_damaged'])
      expect(headers.get('content-type')).to.include('application/problem+json')
      expect(JSON.stringify(body)).to.not.match(/revision|apiToken|Mallory/)
      expect(lines.join('\n')).to.include(tokenStream(victim.id)).and.include(`revision ${revision}`)
      expect((await api.read(victim.id)).body.name).to.equal('victim, renamed')
      // A command reads only the newest events.
      expect((await api.patch(victim.id, { scopes: ['b'] })).status).to.equal(revision === 0 ? 200 : 409)
      expect((await api.patch(other.id, { name: 'other, renamed' })).status).to.equal(200)
      await service.close()
    })

    it(`closes its token in a rebuild, and no other: revision ${revision}`, async () => {
      const { folder, victim, other } = await altered(revision)
      await removeReadModel(folder)
      const { lines, log } = collectingLog()
      const service = await startLedger({ log }, folder)
      const api = apiOf(service.url)
      expect(await api.use(victim.token)).to.equal(401)
      expect(await api.use(other.token)).to.equal(200)
      expect((await api.patch(other.id, { name: 'other, renamed' })).status).to.equal(200)
      // The data of its creation are still known if that event is sound.
      const read = await api.read(victim.id)
      expect([read.status, read.body.status]).to.deep.equal(revision === 0 ? [404, 404] : [200, 'damaged'])
      expect((await api.patch(victim.id, { name: 'mine' })).status).to.equal(revision === 0 ? 404 : 409)
      expect((await api.list('?status=all')).status).to.equal(200)
      expect(await refusedEvents(service)).to.be.at.least(1)
      const named = lines.filter((line) => line.startsWith('event refused'))
      expect(named[0]).to.include(tokenStream(victim.id)).and.include(`"revision":${revision}`)
      await service.close()
    })
  }
})
