import { expect } from 'chai'
import { projections } from '../../../../projections/index.ts'
import type { StoredEvent } from '../../../../src/domain/events.ts'
import type { Batch, EventStore } from '../../../../src/application/ports/eventStore.ts'
import type { LeaseRequest } from '../../../../src/application/ports/sharing.ts'
import type { ReadModel } from '../../../../src/application/ports/readModel.ts'
import { createProjector } from '../../../../src/application/projection/projector.ts'
import { eventually } from '../../../support/suite/eventually.ts'
import { countingTelemetry } from '../../../support/stores/pieces.ts'

/** A read model that several processes share, as far as the lease goes, and a log that shows who follows it. */
function shared() {
  const state = {
    holder: null as string | null,
    term: 0,
    lag: 0,
    caughtUp: false,
    published: false,
    down: false,
    loss: null as string | null,
    losses: 0,
  }
  const following = new Map<string, { caughtUp: () => void }>()

  const readModel = {
    open: async () => {},
    checkpoint: async () => null,
    apply: async () => {},
    remedy: 'rm it',
    loss: () => state.loss,
    losses: () => state.losses,
    async trust() {
      state.loss = null
    },
    async acquireLease(_: string, { id, lag, caughtUp }: LeaseRequest) {
      if (state.down) throw new Error('down')
      state.holder ??= id
      if (state.holder !== id) return { term: null, lag: state.lag, caughtUp: state.caughtUp }
      Object.assign(state, { lag, caughtUp })
      return { term: state.term }
    },
    async releaseLease(_: string, id: string) {
      if (state.holder === id) state.holder = null
      state.term++
    },
    async publish() {
      state.published = true
    },
    isPublished: async () => state.published,
  } as unknown as ReadModel
  /** A log that nobody has filled the read model from. */
  const log = {
    head: async () => null as string | null,
    at: async () => null,
    async *readAll(): AsyncGenerator<StoredEvent[]> {},
  }

  const process = (id: string) => {
    const store = {
      head: () => log.head(),
      at: () => log.at(),
      readAll: () => log.readAll(),
      async *subscribe(_: unknown, __: unknown, signal: AbortSignal): AsyncGenerator<Batch> {
        const caughtUp = new Promise<void>((resolve) => following.set(id, { caughtUp: resolve }))
        const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
        await Promise.race([caughtUp, aborted])
        if (!signal.aborted) yield { events: [], caughtUp: true }
        await aborted
        following.delete(id)
      },
    } as unknown as EventStore
    const telemetry = countingTelemetry()
    return createProjector({ store, readModel, projections, telemetry, id, onChanged() {} })
  }

  return { state, log, following, process }
}

describe('projectors that share a read model', () => {
  it('follow the log one at a time, and the next one when the first has stopped', async () => {
    const { following, process } = shared()
    const [a, b] = [process('a'), process('b')]
    const started = Promise.all([a.start(), b.start()])
    await eventually(() => expect([...following.keys()]).to.deep.equal(['a']))
    following.get('a')?.caughtUp()
    await started
    expect([a.leads(), b.leads(), following.size]).to.deep.equal([true, false, 1])
    await a.stop()
    await eventually(() => expect([...following.keys()]).to.deep.equal(['b']))
    await b.stop()
  })

  for (const [what, published] of [
    ['before the read model was filled once', false],
    // It was published once, and then restored from a backup, or left alone while another version ran.
    ['what was filled earlier and has fallen behind since', true],
  ] as const) {
    it(`do not serve ${what}`, async () => {
      const { state, following, process } = shared()
      state.published = published
      const [a, b] = [process('a'), process('b')]
      let ready = false
      const first = a.start()
      await eventually(() => expect(following.size).to.equal(1))
      const second = b.start().then(() => (ready = true))
      await new Promise((resolve) => setTimeout(resolve, 1200))
      expect(ready).to.equal(false)
      following.get('a')?.caughtUp()
      await Promise.all([first, second])
      await Promise.all([a.stop(), b.stop()])
    })
  }

  it('leave the lease to whoever took it, and ask for it again', async () => {
    const { state, following, process } = shared()
    const a = process('a')
    const started = a.start()
    await eventually(() => expect(following.size).to.equal(1))
    following.get('a')?.caughtUp()
    await started
    state.holder = 'somebody else'
    await eventually(() => expect([following.size, a.leads()]).to.deep.equal([0, false]))
    state.holder = null
    await eventually(() => expect(following.size).to.equal(1))
    await a.stop()
  })

  it('do not serve a read model that lacks what is in the log, whatever the leader says of it', async () => {
    const { state, log, process } = shared()
    Object.assign(state, { holder: 'somebody else', caughtUp: true, published: true })
    log.head = async () => '5'
    log.readAll = async function* () {
      yield [{ position: '3', stream: 'apiToken-revoked' } as StoredEvent]
    }
    const a = process('a')
    let ready = false
    const started = a.start().then(() => (ready = true))
    await new Promise((resolve) => setTimeout(resolve, 1200))
    expect(ready).to.equal(false)
    log.readAll = async function* () {
      yield [{ position: '4', stream: 'orders-1' } as StoredEvent]
    }
    await started
    await a.stop()
  })

  it('follow a read model that was lost from where it stands then, and trust it when it has caught up', async () => {
    const { state, following, process } = shared()
    const a = process('a')
    const started = a.start()
    await eventually(() => expect(following.size).to.equal(1))
    following.get('a')?.caughtUp()
    await started
    const first = following.get('a')
    Object.assign(state, { loss: 'it was dropped', losses: 1 })
    await eventually(() => {
      expect(following.get('a')).to.not.equal(undefined)
      expect(following.get('a')).to.not.equal(first)
    })
    expect(a.lag()).to.be.above(0)
    expect(state.loss).to.equal('it was dropped')
    following.get('a')?.caughtUp()
    await eventually(() => expect(state.loss).to.equal(null))
    expect(a.lag()).to.equal(0)
    await a.stop()
  })

  it('say how far behind the leader says it is, and more while nobody can be asked', async () => {
    const { state, process } = shared()
    Object.assign(state, { holder: 'somebody else', lag: 7, caughtUp: true, published: true })
    const a = process('a')
    await a.start()
    expect(a.lag()).to.be.within(7, 9)
    state.down = true
    const before = a.lag()
    await new Promise((resolve) => setTimeout(resolve, 1500))
    expect(a.lag()).to.be.at.least(before + 1.4)
    await a.stop()
  })
})
