import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { projections } from '../../projections/index.ts'
import { createProjector, type Projector } from '../../src/application/projection/projector.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { RebuildUnderWayError } from '../../src/application/ports/errors.ts'
import { createLogReader } from '../../src/application/eventLog/logReader.ts'
import { rebuild, startAdopting } from '../../src/application/projection/rebuild.ts'
import { isOf } from '../../src/application/logIdentity/sameLog.ts'
import { eventually } from '../support/suite/eventually.ts'
import { type History, historyOn } from '../support/events/history.ts'
import { countingTelemetry } from '../support/stores/pieces.ts'
import { rejection } from './fixtures.ts'

export interface RebuildHarness {
  store: EventStore
  /** Opens the read model as a service does. */
  serve(): Promise<ReadModel>
  /** Opens the read model as the command does, from another process. */
  read(): Promise<ReadModel>
  /** The names of the files or collections of all generations. */
  names(): Promise<string[]>
  dispose(): Promise<void>
}

const telemetry = countingTelemetry()

async function documentsOf(model: ReadModel): Promise<unknown> {
  const all = (collection: string) => model.find(collection, { where: [], limit: 100_000 })
  return [await all('tokens'), await all('tokenHistory'), await all('tokenUsage')]
}

/** What a rebuild must do on every read model. */
export function rebuildContract(name: string, makeHarness: () => Promise<RebuildHarness>): void {
  describe(`a rebuild on ${name}`, () => {
    let harness: RebuildHarness
    let history: History
    let live: ReadModel
    let projector: Projector | null
    let closing: (() => Promise<unknown>)[]

    /** Acts as a process that serves: it follows the log, and takes over what was rebuilt for it. */
    async function serve(): Promise<void> {
      live = await harness.serve()
      const parts = { store: harness.store, readModel: live, telemetry }
      projector = createProjector({ ...parts, projections, id: 'service', onChanged() {} })
      await projector.start()
      const adopting = startAdopting({
        ...parts,
        read: createLogReader(harness.store),
        isOfLog: isOf(harness.store),
      })
      closing.unshift(async () => {
        await adopting.stop()
        await projector?.stop()
        await live.close()
        projector = null
      })
    }

    const endService = async (): Promise<void> => void (await closing.shift()?.())

    async function command(
      names = projections.map((one) => one.name),
      how: Parameters<typeof rebuild>[2] = {},
    ): Promise<number> {
      const readModel = await harness.read()
      await readModel.open(projections)
      const wanted = projections.filter((one) => names.includes(one.name))
      try {
        const { store } = harness
        return await rebuild(
          { read: createLogReader(store), isOfLog: isOf(store), readModel, telemetry },
          wanted,
          how,
        )
      } finally {
        await readModel.close()
      }
    }

    const level = (): Promise<void> =>
      eventually(async () => {
        const head = await harness.store.head()
        for (const one of projections) expect((await live.checkpoint(one))?.position).to.equal(head)
      })

    beforeEach(async () => {
      harness = await makeHarness()
      closing = []
      history = await historyOn(harness.store)
      await serve()
      await history.grow(300)
    })

    afterEach(async () => {
      for (const close of closing) await close()
      await harness.dispose()
    })

    it('gives the same documents beside a live service, which goes on from them', async () => {
      await level()
      const before = await documentsOf(live)
      const names = await harness.names()
      let gaveWay = 0
      expect(await command(undefined, { giveWay: () => gaveWay++ })).to.be.at.least(300)
      expect(gaveWay).to.equal(1)
      expect(await documentsOf(live)).to.deep.equal(before)
      await eventually(async () => {
        const after = await harness.names()
        expect(after).to.have.length(names.length)
        expect(after).to.not.deep.equal(names)
      })
      await history.grow(50)
      await level()
      expect(await documentsOf(live)).to.deep.equal(await history.expected())
    })

    it('mends documents that are wrong', async () => {
      await level()
      const id = history.tokens[0] as string
      await live.apply([{ kind: 'put', collection: 'tokens', id, revision: 99, fields: { name: 'Mallory' } }])
      expect((await live.get('tokens', id))?.name).to.equal('Mallory')
      await command(['tokens'])
      expect((await live.get('tokens', id))?.name).to.not.equal('Mallory')
      await level()
      expect(await documentsOf(live)).to.deep.equal(await history.expected())
    })

    it('of one projection leaves the others as they are', async () => {
      // This is more than one read returns, so that the other projections are further on for a while.
      await history.grow(400)
      await level()
      const id = history.tokens[0] as string
      const wrong = {
        kind: 'put',
        collection: 'tokens',
        id,
        revision: 99,
        fields: { name: 'Mallory' },
      } as const
      await live.apply([wrong])
      await command(['tokenUsage'])
      expect((await live.get('tokens', id))?.name).to.equal('Mallory')
      await history.grow(20)
      await level()
      const [, historyRows, usage] = (await documentsOf(live)) as unknown[]
      const [, expectedHistory, expectedUsage] = (await history.expected()) as unknown[]
      expect([historyRows, usage]).to.deep.equal([expectedHistory, expectedUsage])
    })

    it('of one projection takes a log of several pages, whose first ones the others have seen', async () => {
      await history.grow(400)
      await level()
      const before = await documentsOf(live)
      expect(await command(['tokenUsage'])).to.be.at.least(700)
      expect(await documentsOf(live)).to.deep.equal(before)
    })

    it('loses nothing that happens meanwhile, and shows every command its own change', async () => {
      let going = true
      const seen: string[] = []
      const traffic = (async () => {
        while (going) {
          const { tokenId, events } = await history.command()
          await projector?.apply(events)
          const revision = events.at(-1)?.revision
          const document = await live.get('tokens', tokenId)
          if (Number(document?.revision) < Number(revision)) seen.push(`${tokenId} is behind ${revision}`)
          await history.use()
          await sleep(2)
        }
      })()
      await command()
      await sleep(300)
      going = false
      await traffic
      expect(seen).to.deep.equal([])
      await level()
      expect(await documentsOf(live)).to.deep.equal(await history.expected())
    })

    it('goes on where it was stopped', async () => {
      await history.grow(400)
      const stop = new AbortController()
      const first = command(undefined, {
        onProgress: ({ events }) => void (events >= 500 && stop.abort()),
        signal: stop.signal,
      })
      expect(await rejection(first)).to.be.instanceOf(Error)
      const second = await command()
      expect(second).to.be.below(300)
      expect(await documentsOf(live)).to.deep.equal(await history.expected())
    })

    it('is refused while another is under way', async () => {
      const other = await harness.read()
      await other.open(projections)
      const next = await other.next(projections)
      expect(await rejection(command())).to.be.instanceOf(RebuildUnderWayError)
      await next.close()
      await other.close()
      await command()
    })

    it('switches by itself where no service runs, and the next one serves from it', async () => {
      await level()
      await endService()
      const before = await harness.names()
      await command()
      await serve()
      expect(await documentsOf(live)).to.deep.equal(await history.expected())
      expect(await harness.names()).to.not.deep.equal(before)
    })

    it('can be done again and again', async () => {
      await command()
      await command()
      await history.grow(10)
      await level()
      expect(await documentsOf(live)).to.deep.equal(await history.expected())
    })

    it('tells whoever watches that any document may have changed', async () => {
      const told: unknown[] = []
      const watch = live.watch('tokens', ['revision'], (ids) => told.push(ids && [...ids]))
      await sleep(500)
      told.length = 0
      await command()
      await eventually(() => expect(told).to.include(null))
      await watch.close()
    })
  })
}
