import { expect } from 'chai'
import { openEventStore, shownUrl, sqlitePath } from '../../../src/stores/open.ts'
import { makeEvent } from '../../contract/fixtures.ts'
import { startStandIn } from '../../support/standIn/standIn.ts'

describe('Usage in an EventStoreDB', () => {
  it('is kept for a week longer than it has to be, and what is rolled up for ever', async () => {
    const standIn = await startStandIn()
    const store = await openEventStore({
      eventStoreUrl: standIn.url,
      usageRetentionDays: 30,
      eventStoreTimeoutMs: 10_000,
    })
    for (const stream of ['tokenUsage-a_20261102', 'tokenUsageDaily-20261102', 'apiToken-a']) {
      await store.append(stream, 'no_stream', [makeEvent()])
    }
    const limits = standIn.log.all().filter(({ stream }) => stream.startsWith('$$'))
    expect(limits.map(({ stream, data }) => [stream, Buffer.from(data).toString()])).to.deep.equal([
      ['$$tokenUsage-a_20261102', JSON.stringify({ $maxAge: 37 * 86_400 })],
    ])
    await store.close()
    await standIn.kill()
  })
})

describe('Signals of processes in an EventStoreDB', () => {
  it('are kept for as long as they say something: one heartbeat, and of the lease the last that was said', async () => {
    const standIn = await startStandIn()
    const store = await openEventStore({
      eventStoreUrl: standIn.url,
      usageRetentionDays: null,
      eventStoreTimeoutMs: 10_000,
    })
    for (const stream of ['heartbeat-a', 'eventStore-lease']) {
      await store.append(stream, 'no_stream', [makeEvent()])
      for (let revision = 0; revision < 3; revision++) await store.append(stream, revision, [makeEvent()])
    }
    const revisions = async (stream: string) =>
      (await store.readStream(stream)).map(({ revision }) => revision)
    expect(await revisions('heartbeat-a')).to.deep.equal([3])
    expect(await revisions('eventStore-lease')).to.deep.equal([0, 1, 2, 3])
    const limits = standIn.log.all().filter(({ stream }) => stream === '$$eventStore-lease')
    expect(limits.map(({ data }) => Buffer.from(data).toString())).to.deep.equal(['{"$maxCount":100}'])
    standIn.log.scavenge()
    const left = standIn.log.all().filter(({ stream }) => stream === 'heartbeat-a')
    expect(left).to.have.length(1)
    await store.close()
    await standIn.kill()
  })
})

describe('the URL of a store', () => {
  it('is shown without user, password and options', () => {
    const urls = [
      ['esdb://admin:s3cret@one:2113,two:2113?tls=true&userKeyFile=x', 'esdb://one:2113,two:2113'],
      ['esdb+discover://admin:s3c@ret@one', 'esdb+discover://one'],
      [
        'mongodb://user:s3cret@one,two/tokens?replicaSet=rs0&tlsCertificateKeyFilePassword=x',
        'mongodb://one,two/tokens',
      ],
      ['mongodb+srv://one/tokens', 'mongodb+srv://one/tokens'],
      ['sqlite:./data/events.db', 'sqlite:./data/events.db'],
    ]
    for (const [url = '', shown] of urls) expect(shownUrl(url)).to.equal(shown)
  })

  it('names a file, or a server', () => {
    expect(sqlitePath('sqlite:./data/a@b.db')).to.equal('./data/a@b.db')
    expect(sqlitePath('esdb://sqlite:2113')).to.equal(null)
  })
})
