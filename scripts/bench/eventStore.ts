import { openEventStoreDb } from '../../src/adapters/eventstoredb/eventStore.ts'
import { ids } from '../../src/application/eventLog/ids.ts'
import { iso } from '../../src/application/ports/clock.ts'
import { genesis, link } from '../../src/domain/chain.ts'
import { startStandInProcess } from '../../test/support/standIn/process.ts'
import { entry, used } from './projection.ts'

const APPENDS = 600
const PER_APPEND = 100
const AT_ONCE = 50

export interface Appended {
  /** The name of the server that was measured, or that it was the stand-in. */
  server: string
  rates: { name: string; perSecond: number }[]
  /** Bytes of a token's uses on two routes in one flush window, as JSON in an event. */
  bytesPerEntry: number
}

/** Measures appends per second, and the bytes that one flush window of one token takes. */
export async function benchAppend(): Promise<Appended> {
  const { TEST_EVENTSTORE_URL: given } = process.env
  const standIn = given ? null : await startStandInProcess()
  const store = await openEventStoreDb(given ?? standIn?.url ?? '')
  const at = iso(Date.now())
  const eventsFor = (stream: string, count: number) =>
    link(
      genesis(stream),
      Array.from({ length: count }, () => used([entry(ids.random(), at)], at)),
    )
  const append = (perAppend: number) => {
    const stream = `tokenUsage-${ids.random()}_bench`
    return store.append(stream, 'no_stream', eventsFor(stream, perAppend))
  }
  const rate = async (appends: number, atOnce: number, perAppend: number): Promise<number> => {
    const started = performance.now()
    for (let n = 0; n < appends; n += atOnce)
      await Promise.all(Array.from({ length: atOnce }, () => append(perAppend)))
    return (appends * perAppend) / ((performance.now() - started) / 1000)
  }
  try {
    await rate(100, 10, 1)
    return {
      server: given ? 'EventStoreDB' : 'the stand-in, in memory',
      rates: [
        { name: 'one event at a time', perSecond: await rate(APPENDS, 1, 1) },
        { name: `${AT_ONCE} appends of one event at once`, perSecond: await rate(APPENDS * 2, AT_ONCE, 1) },
        { name: `appends of ${PER_APPEND} events`, perSecond: await rate(60, 1, PER_APPEND) },
      ],
      bytesPerEntry: JSON.stringify(entry(ids.random(), at)).length,
    }
  } finally {
    await store.close()
    await standIn?.kill()
  }
}
