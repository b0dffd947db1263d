import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { projections } from '../../projections/index.ts'
import { createReservations } from '../../src/adapters/sqlite/documents/reservations.ts'
import { createAccountLimit } from '../../src/application/tokens/accountLimit.ts'
import { active } from '../../src/application/readModel/statuses.ts'
import { iso } from '../../src/application/ports/clock.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { UnknownOutcomeError } from '../../src/application/ports/errors.ts'
import { Refusal } from '../../src/domain/errors.ts'
import { gate } from '../support/suite/eventually.ts'
import { describeOnMongo, type MongoServer, someMongo } from '../support/stores/mongod.ts'
import { openPatiently } from '../support/stores/patient.ts'

const TTL_MS = 60_000

type Queue = Pick<ReadModel, 'reserve' | 'queue' | 'release'>

/**
 * @param open gives the queues of two processes that share a read model, or the same one twice for a read model that
 *   belongs to one process
 */
function reservationsContract(name: string, open: () => Promise<[Queue, Queue]>): void {
  describe(`reservations ${name}`, () => {
    let one: Queue
    let two: Queue
    beforeEach(async () => {
      ;[one, two] = await open()
    })

    /** @returns what the places before it hold */
    async function take(queue: Queue, id: string, key = 'acct_1', ttlMs = TTL_MS): Promise<string[]> {
      const places = await queue.reserve(key, { id, holds: `token ${id}`, ttlMs })
      const at = places.findIndex((place) => place.id === id)
      return places.slice(0, at).map(({ holds }) => holds)
    }
    const queued = async (queue: Queue, key = 'acct_1') => (await queue.queue(key)).map(({ id }) => id)

    it('know those that came before them, in order', async () => {
      expect(await take(one, 'a')).to.deep.equal([])
      expect(await take(two, 'b')).to.deep.equal(['token a'])
      expect(await take(one, 'c')).to.deep.equal(['token a', 'token b'])
      expect([await queued(one), await queued(two)]).to.deep.equal([
        ['a', 'b', 'c'],
        ['a', 'b', 'c'],
      ])
      expect(await queued(one, 'another')).to.deep.equal([])
    })

    it('stay where they are when they are asked for again', async () => {
      await take(one, 'a')
      await take(two, 'b')
      expect(await take(one, 'a')).to.deep.equal([])
      expect(await take(two, 'b')).to.deep.equal(['token a'])
    })

    it('are of each key by itself, whatever it looks like', async () => {
      for (const key of ['$where', 'a.b', '__proto__', '', ' ', 'constructor']) {
        expect(await take(one, 'a', key)).to.deep.equal([])
        expect(await take(two, '$b', key)).to.deep.equal(['token a'])
        expect(await take(two, 'c', key)).to.deep.equal(['token a', 'token $b'])
      }
    })

    it('that are given back are gone, once or twice', async () => {
      await take(one, 'a')
      await take(one, 'b')
      await two.release('acct_1', 'a')
      await two.release('acct_1', 'a')
      await two.release('acct_1', 'unknown')
      await two.release('acct_unknown', 'a')
      expect(await take(two, 'c')).to.deep.equal(['token b'])
      expect(await take(two, 'a')).to.deep.equal(['token b', 'token c'])
    })

    it('end by themselves, and then come back at the end', async () => {
      await take(one, 'a', 'acct_1', 100)
      expect(await take(two, 'b')).to.deep.equal(['token a'])
      await sleep(150)
      expect(await queued(one)).to.deep.equal(['b'])
      expect(await take(two, 'b')).to.deep.equal([])
      expect(await take(one, 'a')).to.deep.equal(['token b'])
    })

    it('of many at once have one order for all', async () => {
      const before = await Promise.all(Array.from({ length: 16 }, (_, i) => take(i % 2 ? one : two, `r${i}`)))
      const lengths = before.map(({ length }) => length).sort((a, b) => a - b)
      expect(lengths).to.deep.equal(Array.from({ length: 16 }, (_, i) => i))
    })
  })
}

reservationsContract('on SQLite', async () => {
  const queue = createReservations()
  return [queue, queue]
})

describeOnMongo('reservations on MongoDB', () => {
  let server: MongoServer
  const opened: ReadModel[] = []

  async function twoOnOne(): Promise<[ReadModel, ReadModel]> {
    const url = server.url(`reservations-${randomUUID()}`)
    const models = await Promise.all([openPatiently(url), openPatiently(url)])
    opened.push(...models)
    await Promise.all(models.map((model) => model.open(projections)))
    return models
  }

  before(async () => {
    server = await someMongo({ set: 'rs0' })
  })
  after(() => server.stop())
  afterEach(() => Promise.all(opened.splice(0).map((model) => model.close())))

  reservationsContract('of two processes', twoOnOne)

  describe('and the limit of an account', () => {
    const MAX = 10
    const NOW = Date.UTC(2026, 2, 1, 10)

    /** Creates tokens in both processes at once, as many as they allow. */
    async function create(models: readonly ReadModel[], attempts: number) {
      const limits = models.map((model) => createAccountLimit(model, () => NOW, MAX))
      const outcomes = await Promise.all(
        Array.from({ length: attempts }, async (_, i) => {
          const [model, limit] = [models[i % 2], limits[i % 2]]
          const tokenId = randomUUID()
          const live = { revokedAt: null, phase: 'active', expiresAt: null }
          const fields = { accountId: 'acct_1', ...live, hash: tokenId }
          const make = async () => {
            // It is like an append and a projection: it takes some time, and sometimes fails.
            await sleep((i * 7) % 20)
            if (i % 5 === 4) throw new Error('failed')
            await model?.apply([{ kind: 'put', collection: 'tokens', id: tokenId, revision: 0, fields }])
            return 'made'
          }
          return limit
            ?.within('acct_1', tokenId, make)
            .catch((error: unknown) => (error instanceof Refusal ? error.code : (error as Error).message))
        }),
      )
      const where = active('acct_1', iso(NOW))
      return { outcomes, live: await models[0]?.count('tokens', where, 1_000) }
    }

    it('leave room for exactly as many tokens as it says, in two processes, and lose none', async () => {
      const models = await twoOnOne()
      const { outcomes, live } = await create(models, 40)
      expect(live).to.equal(MAX)
      expect(outcomes.filter((one) => one === 'made')).to.have.length(MAX)
      // On a busy machine the store may not answer in time. That is an outage, and no decision.
      const decided = new Set(outcomes.filter((one) => !one?.startsWith('MongoDB')))
      expect(['failed', 'made', 'token_limit_reached']).to.include.members([...decided])
      expect((await create(models, 2)).outcomes).to.deep.equal(Array(2).fill('token_limit_reached'))
    })

    for (const [what, isShared, expected] of [
      ['wait for one that another process is making', true, ['made', 'token_limit_reached']],
      ['would not, did each process know its own creations alone', false, ['made', 'made']],
    ] as const) {
      it(what, async () => {
        const models = await twoOnOne()
        const [one, two] = models.map(({ count, find, ...model }) => {
          const { reserve, queue, release } = isShared ? model : createReservations()
          return createAccountLimit({ count, find, reserve, queue, release }, () => NOW, 1)
        })
        const [begun, held] = [gate(), gate()]
        const make = (tokenId: string) => async () => {
          begun.open()
          await held.opened
          const live = { revokedAt: null, phase: 'active', expiresAt: null }
          const fields = { accountId: 'acct_1', ...live, hash: tokenId }
          await models[0].apply([{ kind: 'put', collection: 'tokens', id: tokenId, revision: 0, fields }])
          return 'made'
        }
        const first = one?.within('acct_1', 'first', make('first'))
        await begun.opened
        const second = two?.within('acct_1', 'second', make('second')).catch((error: Refusal) => error.code)
        await sleep(200)
        held.open()
        expect(await Promise.all([first, second])).to.deep.equal(expected)
      })
    }

    it('are taken for the place of a token while nobody knows what has become of it, and no longer', async () => {
      const models = await twoOnOne()
      const [one, two] = models.map((model) => createAccountLimit(model, () => NOW, 1))
      const dying = async () => Promise.reject(new UnknownOutcomeError('gone'))
      await one?.within('acct_1', 'lost', dying).catch(() => {})
      const second = await two
        ?.within('acct_1', 'next', async () => 'made')
        .catch((error: Refusal) => error.code)
      expect(second).to.equal('conflict')
      // The token turns out to exist. Then it counts, but only once.
      const fields = { accountId: 'acct_1', revokedAt: null, phase: 'active', expiresAt: null, hash: 'h' }
      await models[0].apply([{ kind: 'put', collection: 'tokens', id: 'lost', revision: 0, fields }])
      const third = await two
        ?.within('acct_1', 'next', async () => 'made')
        .catch((error: Refusal) => error.code)
      expect(third).to.equal('token_limit_reached')
      await models[0].apply([
        {
          kind: 'put',
          collection: 'tokens',
          id: 'lost',
          revision: 1,
          fields: { revokedAt: '2026', phase: 'revoked' },
        },
      ])
      expect(await two?.within('acct_1', 'next', async () => 'made')).to.equal('made')
    })
  })
})
