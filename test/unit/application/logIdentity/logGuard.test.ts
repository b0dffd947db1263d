import { expect } from 'chai'
import { projections } from '../../../../projections/index.ts'
import { createLogGuard, type LogGuard } from '../../../../src/application/logIdentity/logGuard.ts'
import type { Checkpoint } from '../../../../src/application/ports/checkpoints.ts'
import type { ReadModel } from '../../../../src/application/ports/readModel.ts'
import { StoreReplacedError, StoreUnavailableError } from '../../../../src/application/ports/errors.ts'
import { placeOf } from '../../../../src/application/readModel/checkpoints.ts'
import { genesis, link } from '../../../../src/domain/chain.ts'
import type { StoredEvent } from '../../../../src/domain/events.ts'
import { eventually } from '../../../support/suite/eventually.ts'
import { historyOn } from '../../../support/events/history.ts'
import { memoryStore } from '../../../support/stores/memoryStore.ts'
import { movableEvent } from '../../../support/events/movable.ts'
import { countingTelemetry } from '../../../support/stores/pieces.ts'

/** A quarter of the product's times, in milliseconds. */
const TIMES = { everyMs: 250, againMs: 60, cutOffMs: 1_500 }

describe('the guard of the log', () => {
  let memory: ReturnType<typeof memoryStore>
  let guard: LogGuard
  let down: boolean
  let failure: Error | null
  let at: Checkpoint | null
  /** The reasons that were logged. */
  let said: string[]

  const readModel = {
    remedy: 'rm it',
    loss: () => null,
    checkpoint: async () => at,
    find: async () => [],
    get: async () => null,
    count: async () => 0,
    watch: () => ({ isLive: () => true, async close() {} }),
  } as unknown as ReadModel

  beforeEach(async () => {
    memory = memoryStore()
    await (await historyOn(memory.store)).grow(20)
    ;[down, failure, at] = [false, null, null]
    const telemetry = countingTelemetry()
    const store = {
      ...memory.store,
      async at(position: string) {
        if (down) throw new StoreUnavailableError('down')
        if (failure) throw failure
        return memory.store.at(position)
      },
    }
    said = []
    const error = (fields: { reason?: string }): void => void said.push(String(fields.reason))
    guard = createLogGuard({ store, readModel, projections, log: { ...telemetry.log, error }, times: TIMES })
    guard.start()
  })
  afterEach(() => guard.stop())

  const placeOfLast = (): Checkpoint => ({ ...placeOf(memory.log.at(-1) as StoredEvent), kept: null })
  const closed = () => eventually(() => expect(guard.flaw()).to.not.equal(null))
  const open = () => eventually(() => expect(guard.flaw()).to.equal(null))
  const looks = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 2.6 * TIMES.everyMs))
  const fails = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error)

  function appendTo(stream: string): Promise<unknown> {
    return guard.store.append(stream, 'no_stream', link(genesis(stream), [movableEvent('TokenUsed')]))
  }

  it('says nothing of a log that grows, or that nobody can ask', async () => {
    at = placeOfLast()
    await appendTo('apiToken-x')
    await looks()
    down = true
    await appendTo('apiToken-y')
    await looks()
    down = false
    at = placeOfLast()
    await looks()
    expect(guard.flaw()).to.equal(null)
    expect(said).to.deep.equal([])
  })

  it('closes everything where the log lacks what the read model stands on, once that was seen in it', async () => {
    at = placeOfLast()
    await looks()
    const kept = memory.log.splice(5)
    await closed()
    expect(guard.flaw()).to.contain('ends before')
    expect(said).to.have.length(1)
    expect(said[0]).to.contain('rm it')
    const { store, readModel: model } = guard
    for (const work of [
      model.find('tokens', { where: [], limit: 1 }),
      model.get('tokens', 'a'),
      store.readStream('a'),
    ])
      expect(await fails(work)).to.be.instanceOf(StoreUnavailableError)
    expect(await fails(appendTo('apiToken-z'))).to.be.instanceOf(StoreUnavailableError)
    expect(memory.log).to.have.length(5)
    expect(model.watch('tokens', [], () => {}).isLive()).to.equal(false)
    memory.log.push(...kept)
    await open()
    expect(await model.get('tokens', 'a')).to.equal(null)
  })

  it('and where it lacks what this process has appended itself', async () => {
    await appendTo('apiToken-x')
    await looks()
    memory.log.pop()
    await closed()
  })

  it('also when the log has grown meanwhile, and when this process has appended to the wrong one', async () => {
    at = placeOfLast()
    await looks()
    memory.log.splice(5)
    await appendTo('apiToken-after-the-swap')
    await closed()
  })

  it('asks before the first events of a usage stream are appended: no revision guards them', async () => {
    at = placeOfLast()
    await looks()
    memory.log.splice(5)
    expect(await fails(appendTo('tokenUsage-of-today'))).to.be.instanceOf(StoreUnavailableError)
    expect(memory.log).to.have.length(5)
  })

  it('closes where the store says itself that it was replaced', async () => {
    at = placeOfLast()
    failure = new StoreReplacedError('events.db was moved')
    await closed()
    expect(guard.flaw()).to.contain('events.db was moved')
    failure = null
    await open()
  })

  it('has patience with a read model that is ahead: its log may have another leader', async () => {
    at = placeOfLast()
    await looks()
    at = { ...at, position: '99999999999999999999/x', id: 'of the next leader' }
    await looks()
    expect(guard.flaw()).to.equal(null)
    await closed()
  })

  it('closes at once where the read model stands on what is another event here', async () => {
    at = { ...placeOfLast(), id: 'of another branch' }
    await closed()
    expect(guard.flaw()).to.contain('another branch')
  })

  it('gives the first events of a life without asking', async () => {
    const events = link(genesis('apiToken-q'), [movableEvent('TokenCreated')])
    await guard.store.append('apiToken-q', 'no_stream', events)
    expect(memory.log.at(-1)?.stream).to.equal('apiToken-q')
  })
})
