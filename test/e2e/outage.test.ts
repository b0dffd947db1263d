import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { StoredEvent } from '../../src/domain/events.ts'
import { usesIn } from '../../src/domain/usageEntries.ts'
import { tokenStream, USAGE_STREAM } from '../../src/domain/streams.ts'
import { toProblem } from '../../src/http/problem.ts'
import type { AppendFault } from '../support/stores/faults.ts'
import { eventually } from '../support/suite/eventually.ts'
import { assemblePieces, context, type Pieces, target } from '../support/stores/pieces.ts'
import { endServices, ownFolder } from '../support/processes/service.ts'

const ACCOUNT = 'acct_1'

/** The status that a caller would get. */
const statusOf = (work: Promise<unknown>): Promise<number> =>
  work.then(
    () => 200,
    (error: unknown) => toProblem(error).status,
  )

async function everyEvent({ events }: Pieces): Promise<StoredEvent[]> {
  const all: StoredEvent[] = []
  for await (const batch of events.store.readAll(null)) all.push(...batch)
  return all
}

const typesOf = async (pieces: Pieces, id: string): Promise<string[]> =>
  (await pieces.events.store.readStream(tokenStream(id))).map(({ type }) => type)

let pieces: Pieces

describe('while the event store is down', () => {
  beforeEach(async () => {
    pieces = await assemblePieces(await ownFolder())
  })
  afterEach(async () => {
    await pieces.close()
    await endServices()
  })

  it('authentication and reading go on, and every command is a 503', async () => {
    const known = await pieces.create('known')
    const { id, secret } = await pieces.create('not looked up yet')
    expect(await pieces.use(known.secret)).to.equal('accepted')
    pieces.events.down = true
    expect(await pieces.use(known.secret)).to.equal('accepted')
    expect(await pieces.use(secret)).to.equal('accepted')
    expect(await pieces.use(`${secret.slice(0, -1)}!`)).to.equal('malformed')
    expect((await pieces.queries.token(ACCOUNT, id)).name).to.equal('not looked up yet')
    const { manage } = pieces
    expect(await statusOf(pieces.create('new'))).to.equal(503)
    expect(await statusOf(manage.create(context(), ACCOUNT, { name: 'new' }, 'key-1'))).to.equal(503)
    expect(await statusOf(manage.update(context(), target(id), { name: 'renamed' }))).to.equal(503)
    expect(await statusOf(manage.revoke(context(), target(id), null))).to.equal(503)
    pieces.events.down = false
    expect(await pieces.use(secret)).to.equal('accepted')
    expect(await typesOf(pieces, id)).to.deep.equal(['TokenCreated'])
  })

  it('uses wait, and are counted exactly when it is back', async () => {
    const { id, secret } = await pieces.create('used')
    pieces.events.down = true
    for (let n = 0; n < 50; n++) {
      expect(await pieces.use(secret)).to.equal('accepted')
      if (n % 10 === 0) await sleep(30)
    }
    expect(pieces.recorder.pending()).to.be.above(0)
    expect(await pieces.uses(id)).to.equal(0)
    pieces.events.down = false
    await eventually(async () => expect(await pieces.uses(id)).to.equal(50))
    await sleep(60)
    expect(await pieces.uses(id)).to.equal(50)
    expect(pieces.recorder.pending()).to.equal(0)
    expect(pieces.telemetry.lost).to.equal(0)
  })

  it('a stop says exactly how many uses it could not store', async () => {
    const { secret } = await pieces.create('used')
    pieces.events.down = true
    for (let n = 0; n < 7; n++) await pieces.use(secret)
    // A flush has failed by now. Some uses wait as events, and later ones are still being counted.
    await sleep(80)
    for (let n = 0; n < 5; n++) await pieces.use(secret)
    await pieces.recorder.stop()
    expect(pieces.telemetry.lost).to.equal(12)
    expect(pieces.telemetry.errors.join()).to.include('uses lost')
  })
})

describe('an append whose outcome is unknown', () => {
  beforeEach(async () => {
    pieces = await assemblePieces(await ownFolder())
  })
  afterEach(async () => {
    await pieces.close()
    await endServices()
  })

  for (const faults of [['landed'], ['lost'], ['landed', 'lost'], ['lost', 'landed']] as AppendFault[][]) {
    it(`takes effect once: ${faults.join(', then ')}`, async () => {
      const { manage, events } = pieces
      events.next = [...faults]
      const { id, secret } = await pieces.create('once')
      expect(await pieces.use(secret)).to.equal('accepted')
      await pieces.recorder.flush()
      events.next = [...faults]
      expect(await manage.update(context(), target(id), { name: 'changed' })).to.include({
        name: 'changed',
        revision: 1,
      })
      events.next = [...faults]
      expect(await manage.revoke(context(), target(id), 'over')).to.equal(true)
      expect(await typesOf(pieces, id)).to.deep.equal(['TokenCreated', 'TokenUpdated', 'TokenRevoked'])
      expect(await pieces.use(secret)).to.equal('revoked')
    })

    it(`counts uses once: ${faults.join(', then ')}`, async () => {
      const { id, secret } = await pieces.create('counted')
      pieces.events.next = [...faults]
      for (let n = 0; n < 9; n++) await pieces.use(secret)
      await pieces.recorder.flush()
      await pieces.use(secret)
      await pieces.recorder.flush()
      await eventually(async () => expect(await pieces.uses(id)).to.equal(10))
      const used = (await everyEvent(pieces)).filter(({ type }) => type === 'TokensUsed')
      expect(new Set(used.map((event) => event.id)).size).to.equal(used.length)
    })
  }

  it('that stays unknown is a 503, and the same command sent again finds what it did', async () => {
    const { manage, events } = pieces
    events.next = ['landed', 'lost', 'lost', 'lost', 'lost', 'lost', 'lost', 'lost']
    const create = () => manage.create(context(), ACCOUNT, { name: 'once' }, 'key-1')
    expect(await statusOf(create())).to.equal(503)
    events.next = []
    const again = await create()
    // It was made by the first attempt, whose answer with the secret nobody has seen.
    expect(again.secret).to.equal(null)
    expect(await typesOf(pieces, again.token.tokenId)).to.deep.equal(['TokenCreated'])
  })

  it('that stays unknown leaves uses where they are, and they are counted once in the end', async () => {
    const { id, secret } = await pieces.create('counted')
    pieces.events.next = ['landed', 'lost', 'lost', 'lost', 'lost', 'lost', 'lost', 'lost']
    for (let n = 0; n < 3; n++) await pieces.use(secret)
    await pieces.recorder.flush().catch(() => {})
    pieces.events.next = []
    await pieces.use(secret)
    await eventually(async () => expect(await pieces.uses(id)).to.equal(4))
    await sleep(60)
    expect(await pieces.uses(id)).to.equal(4)
  })
})

describe('while the read model is down', () => {
  beforeEach(async () => {
    pieces = await assemblePieces(await ownFolder())
  })
  afterEach(async () => {
    await pieces.close()
    await endServices()
  })

  it('a token that must be looked up is a 503, never refused', async () => {
    const { id, secret } = await pieces.create('not looked up yet')
    pieces.model.down = true
    expect(await statusOf(pieces.use(secret))).to.equal(503)
    expect(await statusOf(pieces.queries.token(ACCOUNT, id))).to.equal(503)
    expect(await statusOf(pieces.create('new'))).to.equal(503)
    pieces.model.down = false
    expect(await pieces.use(secret)).to.equal('accepted')
  })

  it('a revocation is not acknowledged before it holds, and holds once the read model is back', async () => {
    const { id, secret } = await pieces.create('to be revoked')
    expect(await pieces.use(secret)).to.equal('accepted')
    pieces.model.down = true
    expect(await statusOf(pieces.manage.revoke(context(), target(id), null))).to.equal(503)
    // The second time, the event is in the log already. That alone does not mean that it has taken effect.
    expect(await statusOf(pieces.manage.revoke(context(), target(id), null))).to.equal(503)
    pieces.model.down = false
    await pieces.manage.revoke(context(), target(id), null)
    expect(await pieces.use(secret)).to.equal('revoked')
    expect(await typesOf(pieces, id)).to.deep.equal(['TokenCreated', 'TokenRevoked'])
  })

  it('the projector falls behind and catches up by itself', async () => {
    const { id, secret } = await pieces.create('used')
    await pieces.use(secret)
    await eventually(async () => expect(await pieces.uses(id)).to.equal(1))
    pieces.model.down = true
    await pieces.use(secret)
    await eventually(async () => expect(pieces.projector.lag()).to.be.above(0.1))
    pieces.model.down = false
    await eventually(async () => expect(await pieces.uses(id)).to.equal(2))
    await eventually(async () => expect(pieces.projector.lag()).to.equal(0))
  })
})

describe('another writer in the usage stream', () => {
  afterEach(endServices)

  it('keeps that stream, and every use is counted once in a new one', async () => {
    pieces = await assemblePieces(await ownFolder(), 3_600_000)
    const { id, secret } = await pieces.create('used')
    for (let n = 0; n < 3; n++) await pieces.use(secret)
    await pieces.recorder.flush()
    const isUsage = ({ stream }: StoredEvent) => stream.startsWith(USAGE_STREAM)
    const [first] = (await everyEvent(pieces)).filter(isUsage) as [StoredEvent]
    const foreign = { ...first, id: 'a foreign event' } as Parameters<
      typeof pieces.events.store.append
    >[2][number]
    await pieces.events.store.append(first.stream, first.revision, [foreign])

    for (let n = 0; n < 4; n++) await pieces.use(secret)
    await pieces.recorder.flush()
    await pieces.use(secret)
    await pieces.recorder.flush()
    const own = (await everyEvent(pieces)).filter((event) => isUsage(event) && event.id !== 'a foreign event')
    expect(new Set(own.map(({ stream }) => stream)).size).to.equal(2)
    expect(own.map(({ revision }) => revision)).to.deep.equal([0, 0, 1])
    expect(own.map(usesIn)).to.deep.equal([3, 4, 1])
    // The foreign event does not follow from the one before it, so it is refused, and nothing is counted twice.
    await eventually(async () => expect(await pieces.uses(id)).to.equal(8))
    await pieces.close()
  })
})
