import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { createReservations } from '../../../../src/adapters/sqlite/documents/reservations.ts'
import { type AccountLimit, createAccountLimit } from '../../../../src/application/tokens/accountLimit.ts'
import { active } from '../../../../src/application/readModel/statuses.ts'
import type { Condition } from '../../../../src/application/ports/documents.ts'
import { StoreUnavailableError, UnknownOutcomeError } from '../../../../src/application/ports/errors.ts'
import { Refusal } from '../../../../src/domain/errors.ts'
import { gate } from '../../../support/suite/eventually.ts'

const MAX = 10
const NOW = Date.UTC(2026, 2, 1, 10)
/** Twice what 50 creations need if each has to count again after each other one. Beyond that they would never end. */
const PATIENCE = 5000

type Counting = (live: () => number, asked: number) => Promise<number>

/**
 * Accounts for some processes that share a read model. `counting` counts the tokens, and of all other parts only the
 * existing tokens are there.
 */
function accounts(live: number, counting: Counting = async (now) => now(), processes = 1) {
  const state = { live, asked: 0, queries: [] as [string, readonly Condition[], number][], reserved: 0 }
  const there = new Set<string>()
  const reservations = createReservations()
  const readModel = {
    async count(collection: string, where: readonly Condition[], limit: number) {
      if (state.asked >= PATIENCE) throw new Error('counts without end')
      state.queries.push([collection, where, limit])
      return Math.min(limit, await counting(() => state.live, ++state.asked))
    },
    async find(_: string, { where: [ids] }: { where: readonly Condition[] }) {
      const asked = ids && 'value' in ids ? (ids.value as string[]) : []
      const seen = asked.filter((id) => there.has(id))
      await sleep(state.asked % 3)
      return seen.map((id) => ({ id }))
    },
    reserve: async (...args: Parameters<typeof reservations.reserve>) => {
      state.reserved++
      return reservations.reserve(...args)
    },
    queue: reservations.queue,
    release: reservations.release,
  }
  const limits = Array.from({ length: processes }, () => createAccountLimit(readModel, () => NOW, MAX))
  let made = 0
  const within: (account: string, create: () => Promise<unknown>) => Promise<unknown> = (account, create) => {
    const tokenId = `token ${++made}`
    return (limits[made % processes] as AccountLimit).within(account, tokenId, async () => {
      const created = await create()
      there.add(tokenId)
      return created
    })
  }
  const create = async (ms = 0) => {
    await sleep(ms)
    return ++state.live
  }
  return { state, limit: { within }, create }
}

const refusalOf = async (attempt: Promise<unknown>): Promise<unknown> =>
  attempt.then(
    () => null,
    (error: unknown) => (error instanceof Refusal ? error.code : error),
  )

describe('the limit of an account', () => {
  const slow: [what: string, counting: Counting][] = [
    ['at once', async (live) => live()],
    [
      'before it is waited for',
      async (live) => {
        const seen = live()
        await sleep(3)
        return seen
      },
    ],
    [
      'after it is waited for',
      async (live) => {
        await sleep(3)
        return live()
      },
    ],
    [
      'at another moment each time',
      async (live, asked) => {
        await sleep(asked % 4)
        const seen = live()
        await sleep((asked * 7) % 5)
        return seen
      },
    ],
  ]
  for (const [when, counting] of slow) {
    for (const already of [0, 7, 9, 10]) {
      for (const processes of [1, 3]) {
        it(`leaves room for exactly ${MAX - already} of 50 at once in ${processes}, counted ${when}`, async () => {
          const { state, limit, create } = accounts(already, counting, processes)
          const attempts = Array.from({ length: 50 }, (_, i) => limit.within('a', () => create((i * 7) % 6)))
          const refusals = (await Promise.all(attempts.map(refusalOf))).filter((code) => code !== null)
          expect(state.live).to.equal(MAX)
          expect(refusals).to.deep.equal(Array.from({ length: 40 + already }, () => 'token_limit_reached'))
        })
      }
    }
  }

  it('gives what the creation gives', async () => {
    const { limit } = accounts(0)
    expect(await limit.within('a', async () => 'made')).to.equal('made')
  })

  it('counts what is neither revoked nor expired now, and no further than the limit', async () => {
    const { state, limit, create } = accounts(0)
    await limit.within('a', create)
    expect(state.queries).to.deep.equal([['tokens', active('a', '2026-03-01T10:00:00.000Z'), MAX]])
  })

  it('does not make creations wait for each other while there is room for all', async () => {
    const { limit } = accounts(0)
    const { opened, open } = gate()
    const first = limit.within('a', () => opened)
    await limit.within('a', async () => {})
    open()
    await first
  })

  it('does not make accounts wait for each other', async () => {
    const { limit } = accounts(MAX - 1)
    const { opened, open } = gate()
    const first = limit.within('a', () => opened)
    await limit.within('b', async () => {})
    open()
    await first
  })

  for (const [how, succeeds] of [
    ['succeeds', true],
    ['fails', false],
  ] as const) {
    it(`decides near it when the other one ${how} while it waits`, async () => {
      const { state, limit, create } = accounts(MAX - 1)
      const { opened, open } = gate()
      const first = limit.within('a', async () => {
        await opened
        if (!succeeds) throw new Error('failed')
        return create()
      })
      const second = limit.within('a', create)
      await sleep(5)
      expect(state.live).to.equal(MAX - 1)
      open()
      await first.catch(() => {})
      expect(await refusalOf(second)).to.equal(succeeds ? 'token_limit_reached' : null)
      expect(state.live).to.equal(MAX)
    })

    it(`decides near it when the other one ${how} while it counts, and waits for nobody`, async () => {
      const counted = gate()
      const { state, limit, create } = accounts(MAX - 1, async (live, asked) => {
        const seen = live()
        if (asked === 2) await counted.opened
        return seen
      })
      const ended = gate()
      const first = limit.within('a', async () => {
        await ended.opened
        if (!succeeds) throw new Error('failed')
        return create()
      })
      const second = limit.within('a', create)
      ended.open()
      await first.catch(() => {})
      counted.open()
      expect(await refusalOf(second)).to.equal(succeeds ? 'token_limit_reached' : null)
      expect(state.live).to.equal(MAX)
    })
  }

  it('takes no room for a creation that failed, or for a count that failed', async () => {
    const { state, limit, create } = accounts(MAX - 1, async (live, asked) => {
      if (asked === 1) throw new Error('no count')
      return live()
    })
    expect(await refusalOf(limit.within('a', create))).to.have.property('message', 'no count')
    const failing = async () => Promise.reject(new Error('no creation'))
    expect(await refusalOf(limit.within('a', failing))).to.have.property('message', 'no creation')
    expect(await refusalOf(limit.within('a', create))).to.equal(null)
    expect(state.live).to.equal(MAX)
  })

  it('keeps the place of a creation that may have taken effect, and gives back that of one that has not', async () => {
    for (const [error, expected] of [
      [new UnknownOutcomeError('nobody knows'), 'conflict'],
      [new Error('anything'), null],
      [new StoreUnavailableError('nothing was written'), null],
      [new Refusal('conflict', 'nothing was written'), null],
    ] as const) {
      const { limit, create } = accounts(MAX - 1)
      await limit.within('a', async () => Promise.reject(error)).catch(() => {})
      expect(await refusalOf(limit.within('a', create)), error.message).to.equal(expected)
    }
  })

  it('has room again once a token is gone', async () => {
    const { state, limit, create } = accounts(MAX)
    expect(await refusalOf(limit.within('a', create))).to.equal('token_limit_reached')
    state.live--
    expect(await refusalOf(limit.within('a', create))).to.equal(null)
  })
})
