import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { projections } from '../../projections/index.ts'
import type { DocumentChange } from '../../projections/projection.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { RefusedChangeError, StoreUnavailableError } from '../../src/application/ports/errors.ts'
import { createProjector, type Projector } from '../../src/application/projection/projector.ts'
import { createLogReader } from '../../src/application/eventLog/logReader.ts'
import { rebuild } from '../../src/application/projection/rebuild.ts'
import { isOf } from '../../src/application/logIdentity/sameLog.ts'
import { genesis, link, storedChain } from '../../src/domain/chain.ts'
import { DamagedError } from '../../src/domain/errors.ts'
import type { NewEvent, StoredEvent } from '../../src/domain/events.ts'
import { tokenStream } from '../../src/domain/streams.ts'
import { eventually } from '../support/suite/eventually.ts'
import { type History, historyOn } from '../support/events/history.ts'
import { type Counted, countingTelemetry } from '../support/stores/pieces.ts'
import { rejection } from './fixtures.ts'

export interface PoisonHarness {
  store: EventStore
  model: ReadModel
  /** May processes write to the read model beside its service? */
  isShared: boolean
  /** From now on the store refuses documents of `tokenHistory` with this request id, as a validator or a trigger does. */
  refuseRequest(requestId: string): Promise<void>
  /** Makes the document of a token one that cannot be read or written as it is. */
  spoil(tokenId: string): Promise<void>
  /** Opens the same documents again, with none of them in memory. */
  reopen(): Promise<ReadModel>
  /** Opens the read model as the command `rebuild` does. */
  rebuilder(): Promise<ReadModel>
  dispose(): Promise<void>
}

const HASH = 'ab'.repeat(32)
const AT = '2026-03-01T10:00:00.000Z'
const id = (n: number): string => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`

let made = 0
function event(tokenId: string, type: NewEvent['type'], data: object, requestId = 'r'): NewEvent {
  const metadata = {
    at: AT,
    actor: { kind: 'jwt', id: 'acct_2' },
    requestId,
    correlationId: 'r',
    schemaVersion: 1,
    chain: '',
  }
  const [linked] = link(genesis(tokenStream(tokenId)), [{ id: id(9_000 + ++made), type, data, metadata }])
  return linked as unknown as NewEvent
}

const created = (tokenId: string, hash: string, requestId?: string): NewEvent =>
  event(
    tokenId,
    'TokenCreated',
    {
      tokenId,
      accountId: 'acct_2',
      name: `token ${tokenId.slice(-3)}`,
      hash,
      hashKeyId: 'k1',
      hint: 'tkl_…abcd',
      scopes: ['a'],
      expiresAt: null,
    },
    requestId,
  )

/** The effects of an event that can never be applied, and the effects that it must not have. */
export function poisonContract(name: string, makeHarness: () => Promise<PoisonHarness>): void {
  describe(`An event that ${name} will never take`, () => {
    let harness: PoisonHarness
    let model: ReadModel
    /** The function that the projector calls as the read model's `apply`. */
    let apply: ReadModel['apply']
    let telemetry: Counted & { refused: [kind: string, uses: number][]; lines: string[] }
    let projector: Projector
    let history: History

    const append = async (tokenId: string, one: NewEvent): Promise<StoredEvent> => {
      const stream = tokenStream(tokenId)
      const { revision, position } = await harness.store.append(stream, 'no_stream', [one])
      return { ...one, stream, revision, position }
    }

    const level = (): Promise<void> =>
      eventually(async () => {
        const head = await harness.store.head()
        for (const one of projections) expect((await model.checkpoint(one))?.position ?? null).to.equal(head)
      })

    const owner = async (hash: string): Promise<string | undefined> => {
      const where = [{ field: 'hash', op: 'eq' as const, value: hash }]
      return (await model.find('tokens', { where, order: 'any', limit: 2 })).map((one) => one.id).join()
    }

    async function refuse(requestId: string): Promise<void> {
      if (!harness.isShared) {
        await projector.stop()
        await model.close()
      }
      await harness.refuseRequest(requestId)
      if (harness.isShared) return
      model = await harness.reopen()
      apply = model.apply
      await start()
    }

    const stopped = async (tokenId: string) => (await model.get('tokens', tokenId))?.stopped

    async function documents(of: ReadModel = model): Promise<unknown> {
      const names = projections.flatMap(({ collections }) => collections.map((one) => one.name))
      return Promise.all(names.map((one) => of.find(one, { where: [], limit: 10_000 })))
    }

    async function start(): Promise<void> {
      telemetry = { ...countingTelemetry(), refused: [], lines: [] }
      telemetry.damaged = (kind, uses = 0) => void telemetry.refused.push([kind, uses])
      telemetry.log = { ...telemetry.log, error: (_, message) => void telemetry.lines.push(message) }
      const readModel = { ...model, apply: ((...given) => apply(...given)) as ReadModel['apply'] }
      const parts = { store: harness.store, readModel, projections, telemetry }
      projector = createProjector({ ...parts, id: 'p', onChanged() {} })
      await projector.start()
    }

    beforeEach(async () => {
      harness = await makeHarness()
      model = harness.model
      apply = model.apply
      history = await historyOn(harness.store)
      await history.grow(20)
    })

    afterEach(async () => {
      await projector.stop()
      if (model !== harness.model) await model.close()
      await harness.dispose()
    })

    /** All events before and after it have the same effects as without it. */
    async function assertOthers(): Promise<void> {
      const all = await model.find('tokens', { where: [], limit: 1_000 })
      const tokens = all.filter(({ accountId }) => accountId === 'acct_1')
      const [expected] = (await history.expected()) as { id: string; accountId: string }[][]
      expect(tokens).to.deep.equal(expected?.filter(({ accountId }) => accountId === 'acct_1'))
    }

    for (const live of [true, false]) {
      it(`since another token has its hash closes the later token${live ? '' : ', in a log that is caught up with'}`, async () => {
        if (live) await start()
        await append(id(1), created(id(1), HASH))
        await history.grow(10)
        await append(id(2), created(id(2), HASH))
        await append(id(3), created(id(3), HASH))
        await history.grow(10)
        if (!live) await start()
        await level()
        expect(await owner(HASH)).to.equal(id(1))
        expect(await stopped(id(1))).to.equal(undefined)
        for (const later of [id(2), id(3)]) {
          expect(await model.get('tokens', later)).to.deep.include({
            accountId: 'acct_2',
            stopped: 'another token has its hash',
            hash: `none ${later}`,
            scopes: ['a'],
          })
        }
        expect(telemetry.refused).to.deep.equal([
          ['hash', 0],
          ['hash', 0],
        ])
        expect(telemetry.lines).to.deep.equal(['event refused', 'event refused'])
        await assertOthers()
      })
    }

    it('is told once, and a restart or a command that sends it again changes nothing', async () => {
      await start()
      const [first, second] = [
        await append(id(1), created(id(1), HASH)),
        await append(id(2), created(id(2), HASH)),
      ]
      await level()
      const before = await documents()
      await projector.apply([first] as never)
      await projector.apply([second] as never)
      await projector.stop()
      await start()
      await level()
      expect(telemetry.refused).to.deep.equal([])
      expect(await documents()).to.deep.equal(before)
    })

    it('is the one that comes later in the log, whichever was applied first', async () => {
      const first = await append(id(1), created(id(1), HASH))
      const later = await append(id(2), created(id(2), HASH))
      await model.open(projections)
      await start()
      await level()
      await projector.stop()
      const inOrder = await documents()

      const other = await makeHarness()
      try {
        await other.model.open(projections)
        const parts = { store: harness.store, readModel: other.model, projections, telemetry }
        projector = createProjector({ ...parts, id: 'other', onChanged() {} })
        await projector.apply([later] as never)
        expect((await other.model.get('tokens', id(2)))?.stopped).to.equal(undefined)
        await projector.apply([first] as never)
        await projector.start()
        await eventually(async () =>
          expect((await other.model.checkpoint(projections[0] as never))?.position).to.equal(
            await harness.store.head(),
          ),
        )
        expect(await documents(other.model)).to.deep.equal(inOrder)
      } finally {
        await projector.stop()
        await other.dispose()
      }
    })

    it('is left out by a rebuild in the same way', async () => {
      await start()
      await append(id(1), created(id(1), HASH))
      await history.grow(5)
      for (const n of [2, 3]) await append(id(n), created(id(n), HASH))
      await append(id(4), created(id(4), 'cd'.repeat(32)))
      await append(id(5), created(id(5), 'cd'.repeat(32)))
      await history.grow(5)
      await level()
      await projector.stop()
      const before = await documents()
      await model.close()
      const from = await harness.rebuilder()
      await from.open(projections)
      const counted = countingTelemetry()
      await rebuild(
        {
          read: createLogReader(harness.store),
          isOfLog: isOf(harness.store),
          readModel: from,
          telemetry: counted,
        },
        projections,
      )
      await from.close()
      model = await harness.rebuilder()
      await model.open(projections)
      expect(await documents()).to.deep.equal(before)
      expect(counted.errors.filter((line) => line === 'event refused')).to.have.length(3)
      await model.close()
    })

    it('since the store validates its documents closes its token', async () => {
      await start()
      await level()
      await refuse('poison')
      await append(id(1), created(id(1), HASH, 'poison'))
      await history.grow(10)
      await level()
      expect(await stopped(id(1))).to.match(/^the read model does not take it: /)
      expect(await owner(HASH)).to.equal(id(1))
      expect(telemetry.refused).to.deep.equal([['store', 0]])
      const [refused] = await model.find('refusedEvents', { where: [], limit: 10 })
      expect(refused).to.include({ stream: tokenStream(id(1)), revision: 0, type: 'TokenCreated', uses: 0 })
      await assertOthers()
    })

    it('is an error for the command that wrote it, and for no other', async () => {
      await start()
      await level()
      await refuse('poison')
      const [bad, good] = [
        await append(id(1), created(id(1), HASH, 'poison')),
        await append(id(2), created(id(2), 'cd'.repeat(32))),
      ]
      const [refused] = await Promise.all([
        rejection(projector.apply([bad] as never)),
        projector.apply([good] as never),
      ])
      expect(refused).to.be.instanceOf(DamagedError)
      expect(await stopped(id(1))).to.be.a('string')
      expect(await stopped(id(2))).to.equal(undefined)
    })

    it('since the document of its token is beyond use closes the token all the same', async () => {
      await start()
      const first = await append(id(1), created(id(1), HASH))
      await level()
      await projector.stop()
      await model.close()
      await harness.spoil(id(1))
      model = await harness.reopen()
      apply = model.apply
      await model.open(projections)
      const [change] = link(storedChain(first), [event(id(1), 'TokenUpdated', { name: 'other' })])
      await harness.store.append(tokenStream(id(1)), 0, [change as NewEvent])
      await history.grow(10)
      await start()
      await level()
      expect(await stopped(id(1))).to.be.a('string')
      expect(await owner(HASH)).to.equal('')
      expect(telemetry.refused).to.deep.equal([['store', 0]])
      await assertOthers()
    })

    /** The store throws an error of unknown meaning for changes of one id. */
    const strangeFor =
      (isPoison: (change: DocumentChange) => boolean): ReadModel['apply'] =>
      async (changes, step) => {
        if (changes.some(isPoison)) throw new Error('something strange')
        return model.apply(changes, step)
      }

    it('for a reason that nobody knows is refused after some tries, while the store works', async () => {
      const isPoison = ({ collection, id: of }: DocumentChange) =>
        collection === 'tokenUsage' && of.includes('_hour_')
      await start()
      await level()
      apply = strangeFor(isPoison)
      await history.use()
      await level()
      expect(telemetry.refused).to.deep.equal([['store', 3]])
      const [refused] = await model.find('refusedEvents', { where: [], limit: 10 })
      expect(refused?.uses).to.equal(3)
      expect(refused?.type).to.be.oneOf(['TokensUsed', 'TokenUsed'])
      apply = model.apply
      await history.grow(10)
      await level()
      for (const one of history.tokens) expect(await stopped(one)).to.equal(undefined)
    })

    for (const [what, strange] of [
      ['an error that nobody knows', () => new Error('something strange')],
      ['a full disk', () => new StoreUnavailableError('the disk is full')],
    ] as const) {
      it(`is none that meets ${what}, when nothing else is taken either`, async () => {
        await start()
        await level()
        let failures = 0
        apply = async () => {
          failures++
          throw strange()
        }
        await history.grow(10)
        await sleep(4_000)
        expect(failures).to.be.above(3)
        apply = model.apply
        await level()
        expect(telemetry.refused).to.deep.equal([])
        for (const one of history.tokens) expect(await stopped(one)).to.equal(undefined)
        await assertOthers()
      })
    }

    it('goes by even where its token cannot be closed, and that is said', async () => {
      const victim = id(1)
      await start()
      await level()
      apply = async (changes, step) => {
        if (changes.some((one) => one.collection === 'tokens' && one.id === victim))
          throw new RefusedChangeError('refused', 'never')
        return model.apply(changes, step)
      }
      await append(victim, created(victim, HASH))
      await history.grow(10)
      await level()
      expect(telemetry.lines).to.deep.equal([
        'the token of a refused event could not be closed',
        'event refused',
      ])
      await assertOthers()
    })
  })
}
