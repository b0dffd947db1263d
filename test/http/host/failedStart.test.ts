import { rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { createTokenLedger } from '../../../src/ledger/ledger.ts'
import { DamagedError } from '../../../src/domain/errors.ts'
import { DELIVERY_STREAM } from '../../../src/domain/streams.ts'
import { openEventStore } from '../../../src/stores/open.ts'
import { makeEvent, rejection } from '../../contract/fixtures.ts'
import { ownFolder } from '../../support/processes/service.ts'
import { PEPPERS, SECRET } from '../../support/processes/ledger.ts'

describe('A ledger that cannot start', () => {
  it('leaves nothing of it running', async () => {
    const folder = await ownFolder()
    const eventStoreUrl = `sqlite:${folder}/events.db`
    const store = await openEventStore({
      eventStoreUrl,
      usageRetentionDays: null,
      eventStoreTimeoutMs: 10_000,
    })
    await store.append(`${DELIVERY_STREAM}code`, 'no_stream', [makeEvent()])
    await store.close()

    const said: string[] = []
    const say = (_: unknown, message: string) => void said.push(message)
    let asked = 0
    const start = (): Promise<unknown> =>
      createTokenLedger({
        eventStoreUrl,
        readModelUrl: `sqlite:${folder}/read-model.db`,
        jwt: { secret: SECRET },
        peppers: PEPPERS,
        onEvent() {},
        log: { debug: say, info: say, warn: say, error: say },
        clock() {
          asked++
          return Date.now()
        },
      })
    for (let n = 0; n < 2; n++) expect(await rejection(start())).to.be.instanceOf(DamagedError)
    said.length = asked = 0
    await sleep(2_500)
    expect([said, asked]).to.deep.equal([[], 0])
    await rm(folder, { recursive: true })
  })
})
