import { Readable } from 'node:stream'
import { expect } from 'chai'
import type { Connection } from '../../../src/adapters/eventstoredb/connection.ts'
import { subscription } from '../../../src/adapters/eventstoredb/subscription.ts'
import { eventually } from '../../support/suite/eventually.ts'

/** What newer servers do instead of dropping a subscription, and the stand-in does not do. */
describe('A subscription to EventStoreDB', () => {
  it('that says it fell behind is not caught up until it says so again', async () => {
    const source = Object.assign(new Readable({ objectMode: true, read() {} }), {
      unsubscribe: async () => {},
    })
    const connection = { client: { subscribeToAll: () => source }, call: {} } as unknown as Connection
    const stop = new AbortController()
    const said: boolean[] = []
    const following = (async () => {
      for await (const { caughtUp } of subscription(connection, null, ['s-'], stop.signal))
        said.push(caughtUp)
    })()
    for (const [event, expected] of [
      ['caughtUp', [true]],
      ['fellBehind', [true, false]],
      ['caughtUp', [true, false, true]],
    ] as const) {
      source.emit(event)
      await eventually(() => expect(said).to.deep.equal(expected))
    }
    stop.abort()
    await following
  })
})
