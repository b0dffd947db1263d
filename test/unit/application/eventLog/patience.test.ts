import { expect } from 'chai'
import { appendUntilKnown } from '../../../../src/application/eventLog/append.ts'
import { type Patience, patientReads, startTries } from '../../../../src/application/eventLog/patience.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import {
  ConflictError,
  StoreMisconfiguredError,
  StoreUnavailableError,
  UnknownOutcomeError,
} from '../../../../src/application/ports/errors.ts'
import { makeEvent, rejection } from '../../../contract/fixtures.ts'
import { memoryStore } from '../../../support/stores/memoryStore.ts'
import { countingTelemetry } from '../../../support/stores/pieces.ts'

const BULK: Patience = { ms: 60_000, outages: true }
const down = new StoreUnavailableError('down')
const silent = new UnknownOutcomeError('no answer')
const refused = new StoreMisconfiguredError('the password is wrong')

describe('Who has time for an event store', () => {
  /** Fails with each of these first. */
  function failing(store: EventStore, ...failures: Error[]): EventStore {
    const append: EventStore['append'] = async (...args) => {
      const failure = failures.shift()
      if (failure) throw failure
      return store.append(...args)
    }
    return { ...store, append }
  }
  const append = (store: EventStore, patience: Patience) =>
    appendUntilKnown({ store, telemetry: countingTelemetry(), patience }, 's', 'no_stream', [makeEvent()])

  it('sends an append again after an outage, and says what it waits for', async () => {
    const said: string[] = []
    const patience = { ...BULK, onPause: ({ message }: Error) => void said.push(message) }
    await append(failing(memoryStore().store, down, silent, down), patience)
    expect(said).to.deep.equal(['down', 'no answer', 'down'])
  })

  it('waits neither for what lasts nor after a conflict', async () => {
    const conflict = new ConflictError('s', 3)
    for (const error of [refused, conflict])
      expect(await rejection(append(failing(memoryStore().store, error), BULK))).to.equal(error)
  })

  it('learns what lasts also of an append whose outcome is unknown', async () => {
    const error = await rejection(append(failing(memoryStore().store, silent, refused), BULK))
    expect(error).to.be.instanceOf(UnknownOutcomeError).with.property('message', refused.message)
  })

  it('stops when it is told to, or no longer may', async () => {
    const stop = new AbortController()
    const stopped = { ...BULK, signal: stop.signal, onPause: () => stop.abort() }
    expect(await rejection(append(failing(memoryStore().store, down, down), stopped))).to.equal(down)
    const lost = new Error('the lease is lost')
    const beforeRetry = async (): Promise<void> => {
      throw lost
    }
    expect(await rejection(append(failing(memoryStore().store, silent), { ...BULK, beforeRetry }))).to.equal(
      lost,
    )
  })

  it('gives up in the end', async () => {
    const next = startTries({ ms: 250, outages: true })
    await next(down)
    expect(await rejection(next(down))).to.equal(down)
  })

  it('reads on behind the last event that it was given', async () => {
    const { store } = memoryStore()
    const events = Array.from({ length: 6 }, () => makeEvent())
    for (const [i, event] of events.entries()) await store.append('s', i === 0 ? 'no_stream' : i - 1, [event])
    let failures = 3
    const broken: EventStore = {
      ...store,
      async *readAll(after) {
        let given = 0
        for await (const batch of store.readAll(after)) {
          for (const event of batch) {
            if (failures > 0 && given++ === 2) {
              failures--
              throw down
            }
            yield [event]
          }
        }
      },
    }
    const read: string[] = []
    for await (const batch of patientReads(broken, BULK).readAll(null))
      read.push(...batch.map(({ id }) => id))
    expect(read).to.deep.equal(events.map(({ id }) => id))
    expect(failures).to.be.below(3)
  })

  it('asks again what was not answered', async () => {
    let failures = 2
    const head = async (): Promise<string> => {
      if (failures-- > 0) throw down
      return 'the end'
    }
    const { store } = memoryStore()
    expect(await patientReads({ ...store, head }, BULK).head()).to.equal('the end')
    const refusing = async (): Promise<string> => {
      throw refused
    }
    expect(await rejection(patientReads({ ...store, head: refusing }, BULK).head())).to.equal(refused)
  })
})
