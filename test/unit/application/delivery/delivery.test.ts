import { expect } from 'chai'
import type { HistoryDocument } from '../../../../projections/tokenHistory.ts'
import {
  createDelivery,
  type Delivery,
  type DeliveryDependencies,
} from '../../../../src/application/delivery/delivery.ts'
import type { Outcome } from '../../../../src/application/delivery/teller.ts'
import { createOutbox } from '../../../../src/application/delivery/outbox.ts'
import { QUIET } from '../../../../src/application/eventLog/append.ts'
import { ids } from '../../../../src/application/eventLog/ids.ts'
import type { FeedQuery } from '../../../../src/application/feed/feed.ts'
import { memoryStore } from '../../../support/stores/memoryStore.ts'
import { eventually } from '../../../support/suite/eventually.ts'

const SILENT = { debug() {}, info() {}, warn() {}, error() {} }
const HOUR = 3_600_000
const at = (n: number): string => String(n).padStart(16, '0')
const FAILED: Outcome = { kind: 'failed', reason: 'status 500' }

describe('A delivery', () => {
  let now: number
  let memory: ReturnType<typeof memoryStore>
  let events: HistoryDocument[]
  let end: string
  let told: string[]
  let attempts: string[]
  let answer: (event: HistoryDocument) => Outcome | Promise<Outcome>
  let leads: boolean
  let running: Delivery[]
  let wake: (() => void)[]

  /** @param token its revision counts from 0 */
  function happen(token: string, type = 'TokenUpdated'): void {
    const revision = events.filter(({ tokenId }) => tokenId === token).length
    const position = at(events.length + 1)
    const place = { tokenId: token, accountId: 'acct_1', revision, position }
    const metadata = { at: new Date(now).toISOString(), actor: { kind: 'jwt', id: 'a' }, requestId: 'r' }
    events.push({ id: `${token}${revision}`, ...place, type, ...metadata, data: {} })
    end = position
    for (const one of wake) one()
  }

  const feed = {
    async read({ after, limit }: FeedQuery) {
      const behind = events.filter(({ position }) => position > after && position <= end).slice(0, limit)
      return { data: behind, next: behind.at(-1)?.position ?? after, end }
    },
    ofToken: async (token: string, from: number) =>
      events.filter(
        ({ tokenId, revision, position }) => tokenId === token && revision >= from && position <= end,
      ),
    end: async () => end,
  }

  async function start(more: Partial<DeliveryDependencies> = {}): Promise<Delivery> {
    const delivery = createDelivery({
      store: memory.store,
      clock: () => now,
      ids,
      telemetry: QUIET,
      instance: ids.random(),
      name: 'test',
      target: 'one',
      feed,
      watch: {
        follow(_, onNew) {
          wake.push(onNew)
          return () => {}
        },
      },
      wants: (type) => type !== 'Unwanted',
      async deliver(event) {
        attempts.push(event.id)
        const outcome = await answer(event)
        if (outcome.kind === 'delivered') told.push(event.id)
        return outcome
      },
      log: SILENT,
      leads: () => leads,
      random: () => 0,
      tickMs: 2,
      ...more,
    })
    running.push(delivery)
    await delivery.start()
    return delivery
  }

  const stored = async () => {
    const context = { store: memory.store, clock: () => now, ids, telemetry: QUIET, instance: '' }
    return createOutbox('test', context).load()
  }
  const isTold = (...expected: string[]) => eventually(() => expect(told).to.deep.equal(expected))
  const isStored = (position: number) =>
    eventually(async () => {
      const state = await stored()
      expect([state?.position, state?.aside]).to.deep.equal([at(position), []])
    })

  beforeEach(() => {
    now = Date.parse('2026-11-27T12:00:00.000Z')
    memory = memoryStore()
    events = []
    end = '0'
    told = []
    attempts = []
    answer = () => ({ kind: 'delivered' })
    leads = true
    running = []
    wake = []
  })
  afterEach(() => Promise.all(running.map((delivery) => delivery.stop())))

  it('begins at the end of the log as it is at its first start, and goes on where it was at later ones', async () => {
    happen('a')
    const first = await start()
    happen('a')
    await isTold('a1')
    await first.stop()
    happen('a')
    await start()
    await isTold('a1', 'a2')
  })

  it('loses nothing that happened between its first start and the time when it leads', async () => {
    leads = false
    await start()
    happen('a')
    leads = true
    await isTold('a0')
  })

  it('tells only what is wanted, and comes past the rest', async () => {
    await start()
    happen('a')
    happen('a', 'Unwanted')
    happen('a')
    await isTold('a0', 'a2')
    await isStored(3)
  })

  it('puts a token aside of which an event fails, and the others go on; its own come in order', async () => {
    let isBroken = true
    answer = ({ tokenId }) => (tokenId === 'a' && isBroken ? FAILED : { kind: 'delivered' })
    await start()
    for (const token of ['a', 'b', 'a', 'c', 'b', 'a']) happen(token)
    await eventually(() => expect(told).to.have.members(['b0', 'c0', 'b1']))
    expect(told.indexOf('b0')).to.be.below(told.indexOf('b1'))
    happen('a', 'Unwanted')
    happen('a')
    isBroken = false
    now += 5_000
    await eventually(() =>
      expect(told.filter((id) => id.startsWith('a'))).to.deep.equal(['a0', 'a1', 'a2', 'a4']),
    )
    happen('a')
    await eventually(() => expect(told.at(-1)).to.equal('a5'))
    await isStored(9)
  })

  it('knows after a restart which tokens were aside, and what of them waits', async () => {
    answer = ({ tokenId }) => (tokenId === 'a' ? FAILED : { kind: 'delivered' })
    const first = await start()
    for (const token of ['a', 'b', 'a']) happen(token)
    await isTold('b0')
    await eventually(() => expect(first.status().waiting).to.equal(2))
    await first.stop()
    expect((await stored())?.aside).to.have.lengthOf(1)
    happen('a')
    answer = () => ({ kind: 'delivered' })
    now += 5_000
    await start()
    await isTold('b0', 'a0', 'a1', 'a2')
    await isStored(4)
  })

  it('waits with a token that is aside while the read model is being filled again', async () => {
    answer = ({ tokenId }) => (tokenId === 'a' ? FAILED : { kind: 'delivered' })
    const first = await start()
    for (const token of ['a', 'b']) happen(token)
    await isTold('b0')
    await first.stop()
    answer = () => ({ kind: 'delivered' })
    now += 5_000
    const all = events
    events = []
    end = '0'
    await start()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(told).to.deep.equal(['b0'])
    events = all
    end = at(2)
    now += 5_000
    await isTold('b0', 'a0')
  })

  it('tries at the pace of the specification, for three days, and then gives an event up and goes on', async () => {
    answer = ({ id }) => (id === 'a0' ? FAILED : { kind: 'delivered' })
    const delivery = await start()
    happen('a')
    happen('a')
    const hours = [5 / 3600, 300 / 3600, 0.5, 2, 5, 10, 14, 20, 24]
    for (const [n, pause] of hours.entries()) {
      await eventually(() => expect(attempts).to.have.lengthOf(n + 1))
      await eventually(async () => expect((await stored())?.aside[0]?.attempts).to.equal(n + 1))
      const next = Date.parse((await stored())?.aside[0]?.nextAt ?? '')
      expect(next - now, `after attempt ${n + 1}`).to.equal(pause * HOUR)
      now = next
    }
    await isTold('a1')
    expect(attempts.filter((id) => id === 'a0')).to.have.lengthOf(10)
    expect(delivery.failures()).to.equal(10)
    await eventually(async () => expect((await stored())?.givenUp).to.equal(1))
  })

  it('tries at once what failed for want of the other side, as soon as that takes something, and that only', async () => {
    let isDown = false
    answer = ({ id }) => (isDown || id === 'poison0' ? FAILED : { kind: 'delivered' })
    await start()
    happen('poison')
    await eventually(() => expect(attempts).to.deep.equal(['poison0']))
    happen('ok')
    await isTold('ok0')
    isDown = true
    for (const token of ['first', 'b', 'c', 'd']) happen(token)
    await eventually(() => expect(attempts).to.have.lengthOf(6))
    isDown = false
    happen('e')
    await eventually(() => expect(told).to.include.members(['e0', 'b0', 'c0', 'd0']))
    expect(attempts.filter((id) => id === 'poison0')).to.have.lengthOf(1)
    now += 5_000
    await eventually(() => expect(told).to.include('first0'))
  })

  /** Everything fails until the next try of each token is an hour away. */
  async function failForLong(...tokens: string[]): Promise<Delivery> {
    answer = () => FAILED
    const delivery = await start()
    for (const token of tokens) happen(token)
    for (let n = 1; n <= 4; n++) {
      await eventually(() => expect(attempts).to.have.lengthOf(n * tokens.length))
      await eventually(async () =>
        expect((await stored())?.aside.map((aside) => aside.attempts)).to.deep.equal(tokens.map(() => n)),
      )
      if (n < 4) now = Math.max(...((await stored())?.aside ?? []).map(({ nextAt }) => Date.parse(nextAt)))
    }
    return delivery
  }

  it('also does so where it was started anew in between', async () => {
    await (await failForLong('a', 'b', 'c')).stop()
    answer = () => ({ kind: 'delivered' })
    await start()
    happen('new')
    await eventually(() => expect(told).to.have.members(['new0', 'a0', 'b0', 'c0']))
  })

  it('also does so where it was told to go on', async () => {
    let isAsked = false
    await (await failForLong('a', 'b', 'c')).stop()
    await start({ takeRequestToResume: async () => isAsked })
    answer = ({ tokenId }) => (tokenId === 'x' ? { kind: 'delivered' } : FAILED)
    happen('x')
    await eventually(() => expect(attempts.slice(12)).to.have.members(['x0', 'a0', 'b0', 'c0']))
    // Since then something was taken, so it is these events that have failed, and not the other side.
    happen('x')
    await isTold('x0', 'x1')
    answer = () => ({ kind: 'gone' })
    happen('last')
    await eventually(async () => expect((await stored())?.stopped).to.not.equal(null))
    answer = () => ({ kind: 'delivered' })
    isAsked = true
    await eventually(() => expect(told).to.include.members(['last0', 'a0', 'b0', 'c0']))
  })

  it('keeps the pause that the other side asks for, with everything', async () => {
    answer = ({ id }) =>
      attempts.length === 1 ? { ...FAILED, pauseMs: 60_000 } : ({ kind: 'delivered', id } as Outcome)
    await start()
    happen('a')
    await eventually(() => expect(attempts).to.deep.equal(['a0']))
    happen('b')
    now += 59_000
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(attempts).to.deep.equal(['a0'])
    now += 1_000
    await eventually(() => expect(told).to.have.members(['a0', 'b0']))
  })

  it('stops where nobody wants to be told, also after a restart, until the target changes or somebody says so', async () => {
    answer = () => ({ kind: 'gone' })
    const first = await start()
    happen('a')
    await eventually(() => expect(first.status().isStopped).to.equal(true))
    happen('b')
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(attempts).to.deep.equal(['a0'])
    await first.stop()
    answer = () => ({ kind: 'delivered' })
    const second = await start()
    await eventually(() => expect(second.status().isStopped).to.equal(true))
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(told).to.deep.equal([])
    await second.stop()
    const third = await start({ target: 'another' })
    await eventually(() => expect(told).to.have.members(['a0', 'b0']))
    await third.stop()

    answer = () => ({ kind: 'gone' })
    let isAsked = false
    await start({ takeRequestToResume: async () => isAsked })
    happen('c')
    await eventually(async () => expect((await stored())?.stopped).to.not.equal(null))
    answer = () => ({ kind: 'delivered' })
    isAsked = true
    await eventually(() => expect(told).to.include('c0'))
  })

  it('goes on when another process has stored that it does', async () => {
    answer = () => ({ kind: 'gone' })
    await start()
    happen('a')
    await eventually(async () => expect((await stored())?.stopped).to.not.equal(null))
    answer = () => ({ kind: 'delivered' })
    const context = { store: memory.store, clock: () => now, ids, telemetry: QUIET, instance: '' }
    const outbox = createOutbox('test', context)
    const state = await outbox.load()
    if (state) await outbox.save({ ...state, stopped: null })
    await isTold('a0')
  })

  it('waits with all once a thousand tokens are aside', async () => {
    answer = ({ tokenId }) => (tokenId === 'last' ? { kind: 'delivered' } : FAILED)
    const delivery = await start()
    for (let n = 0; n < 1_000; n++) happen(`t${n}`)
    await eventually(() => expect(new Set(attempts).size).to.equal(1_000))
    await eventually(() => expect(delivery.status().waiting).to.equal(1_000))
    happen('last')
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(told).to.deep.equal([])
    answer = () => ({ kind: 'delivered' })
    now += 5_000
    await eventually(() => expect(told).to.include('last0'))
    expect(told).to.have.lengthOf(1_001)
  }).timeout(60_000)

  it('has at most eight under way, each of another token', async () => {
    const open: (() => void)[] = []
    const underWay: string[] = []
    let most = 0
    answer = async ({ tokenId }) => {
      expect(underWay).not.to.include(tokenId)
      underWay.push(tokenId)
      most = Math.max(most, underWay.length)
      await new Promise<void>((resolve) => open.push(resolve))
      underWay.splice(underWay.indexOf(tokenId), 1)
      return { kind: 'delivered' }
    }
    await start()
    for (let n = 0; n < 30; n++) happen(`t${n % 12}`)
    for (let n = 0; n < 30; n++) {
      await eventually(() => expect(open.length).to.be.greaterThan(0))
      open.shift()?.()
    }
    await eventually(() => expect(told).to.have.lengthOf(30))
    expect(most).to.equal(8)
  })

  it('gives way where another process tells, and tells at most once more what was under way', async () => {
    await start()
    await start()
    for (let n = 0; n < 20; n++) happen(`t${n % 3}`)
    await eventually(() => expect(new Set(told).size).to.equal(20))
    await isStored(20)
    for (const token of ['t0', 't1', 't2']) {
      const first = [...new Set(told)].filter((id) => id.startsWith(token))
      expect(first).to.deep.equal(events.filter(({ tokenId }) => tokenId === token).map(({ id }) => id))
    }
  })

  it('takes an error for a failure', async () => {
    answer = () => {
      if (attempts.length === 1) throw new TypeError('broken')
      return { kind: 'delivered' }
    }
    await start()
    happen('a')
    await eventually(() => expect(attempts).to.have.lengthOf(1))
    now += 5_000
    await isTold('a0')
  })

  it('ends at once while others are asked who is to tell', async () => {
    leads = false
    let asked = 0
    const delivery = await start({
      acquire() {
        asked++
        return new Promise(() => {})
      },
    })
    await eventually(() => expect(asked).to.equal(1))
    await delivery.stop()
  })

  it('ends soon, whatever is under way, and tells that again later', async () => {
    answer = () => new Promise(() => {})
    const aborted: boolean[] = []
    const first = await start({
      deliver: (_, signal) =>
        new Promise((resolve) =>
          signal.addEventListener('abort', () => {
            aborted.push(true)
            resolve(FAILED)
          }),
        ),
    })
    happen('a')
    await eventually(() => expect(first.status().waiting).to.equal(1))
    await first.stop()
    expect(aborted).to.deep.equal([true])
    answer = () => ({ kind: 'delivered' })
    await start()
    await isTold('a0')
  })
})
