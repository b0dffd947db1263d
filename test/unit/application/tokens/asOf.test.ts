import { expect } from 'chai'
import { asOf, historyOf, parseMoment } from '../../../../src/application/tokens/asOf.ts'
import {
  loadOn,
  readTokenEvents,
  type TokenEvent,
  unborn,
} from '../../../../src/application/eventLog/tokenStream.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import { genesis, link } from '../../../../src/domain/chain.ts'
import { DamagedError } from '../../../../src/domain/errors.ts'
import type { StoredEvent } from '../../../../src/domain/events.ts'
import { tokenStream } from '../../../../src/domain/streams.ts'

const TOKEN = '01a20813-a0b7-7734-878d-269fb727386e'
const HASH = 'f'.repeat(64)

interface Said {
  type: string
  at: string
  data: object
  informational?: true
}

const created: Said = {
  type: 'TokenCreated',
  at: '2026-11-01T10:00:00.000Z',
  data: {
    tokenId: TOKEN,
    accountId: 'acct_1',
    name: 'first',
    hash: HASH,
    hashKeyId: 'k1',
    hint: 'tkl_…abcd',
    scopes: [],
    expiresAt: '2026-11-10T00:00:00.000Z',
  },
}
const renamed: Said = { type: 'TokenUpdated', at: '2026-11-02T10:00:00.000Z', data: { name: 'second' } }
const revoked: Said = { type: 'TokenRevoked', at: '2026-11-05T10:00:00.000Z', data: { reason: 'leaked' } }
const foreign: Said = {
  type: 'TokenBlessed',
  at: '2026-11-03T10:00:00.000Z',
  data: { hash: HASH },
  informational: true,
}

function stored(...said: Said[]): StoredEvent[] {
  const stream = tokenStream(TOKEN)
  const events = said.map(({ type, at, data, ...informational }, i) => ({
    id: `event-${i}`,
    type,
    data,
    metadata: {
      at,
      actor: { kind: 'jwt', id: 'acct_1' },
      requestId: `r${i}`,
      correlationId: 'c',
      schemaVersion: 1,
      ...informational,
    },
    stream,
    revision: i,
    position: String(i).padStart(16, '0'),
  }))
  return link(genesis(stream), events)
}

const storeOf = (events: StoredEvent[]): EventStore =>
  ({ readStream: async () => events }) as unknown as EventStore

const read = async (...said: Said[]): Promise<TokenEvent[]> =>
  readTokenEvents(storeOf(stored(...said)), TOKEN)

describe('A token as it was', () => {
  it('has at a revision what the events up to it say', async () => {
    const events = await read(created, renamed, revoked)
    const names = [0, 1].map((revision) => {
      const then = asOf(events, { revision })
      return then.found && [then.token.name, then.status, then.at, then.events.length]
    })
    expect(names).to.deep.equal([
      ['first', 'active', created.at, 1],
      ['second', 'active', renamed.at, 2],
    ])
  })

  it('has at a time what had happened by then, that instant included', async () => {
    const events = await read(created, renamed, revoked)
    const at = (time: string) => {
      const then = asOf(events, { time })
      return then.found ? [then.token.name, then.token.revision, then.status] : then.why
    }
    expect(at('2026-11-02T09:59:59.999Z')).to.deep.equal(['first', 0, 'active'])
    expect(at('2026-11-02T10:00:00.000Z')).to.deep.equal(['second', 1, 'active'])
    expect(at('2026-11-05T10:00:00.000Z')).to.deep.equal(['second', 2, 'revoked'])
    expect(at('2026-11-01T09:59:59.999Z')).to.equal('not created yet')
  })

  it('is assessed by the clock of that instant', async () => {
    const events = await read(created)
    const statusAt = (time: string) => {
      const then = asOf(events, { time })
      return then.found && then.status
    }
    expect(statusAt('2026-11-09T23:59:59.999Z')).to.equal('active')
    expect(statusAt('2026-11-10T00:00:00.000Z')).to.equal('expired')
  })

  it('is not there at a revision that is not, nor without events', async () => {
    const events = await read(created, renamed)
    expect(asOf(events, { revision: 2 })).to.deep.equal({ found: false, why: 'no such revision' })
    expect(asOf([], { revision: 0 })).to.deep.equal({ found: false, why: 'no such token' })
  })

  it('counts events that only inform as revisions, of a type it does not know, too, and shows nothing of their data', async () => {
    const events = await read(created, foreign, renamed)
    const then = asOf(events, { revision: 1 })
    expect(then.found && [then.token.name, then.token.revision, then.at]).to.deep.equal([
      'first',
      1,
      foreign.at,
    ])
    const history = historyOf(events)
    expect(history.map(({ type, revision, at }) => [type, revision, at])).to.deep.equal([
      ['TokenCreated', 0, created.at],
      ['TokenBlessed', 1, foreign.at],
      ['TokenUpdated', 2, renamed.at],
    ])
    expect(JSON.stringify(history)).not.to.contain(HASH)
    expect(
      (await loadOn(storeOf(stored(created, foreign, renamed)), TOKEN, unborn(TOKEN))).revision,
    ).to.equal(2)
  })

  it('is never told from a stream that was altered, wherever the alteration is', async () => {
    const events = stored(created, renamed, revoked)
    const altered = events.map((event, i) => (i === 1 ? { ...event, data: { name: 'forged' } } : event))
    const failure = await readTokenEvents(storeOf(altered), TOKEN).catch((error: unknown) => error)
    expect(failure).to.be.instanceOf(DamagedError)
    expect((failure as Error).message).to.contain(`revision 1 of apiToken-${TOKEN}`)
  })
})

describe('A moment', () => {
  it('is a revision or an RFC 3339 time', () => {
    expect(parseMoment('0')).to.deep.equal({ revision: 0 })
    expect(parseMoment('2026')).to.deep.equal({ revision: 2026 })
    expect(parseMoment('2026-11-23T10:00:00+01:00')).to.deep.equal({ time: '2026-11-23T09:00:00.000Z' })
  })

  for (const text of ['', '-1', '1.5', 'yesterday', '2026-11-23', '2026-02-30T00:00:00Z', '1234567890']) {
    it(`is not '${text}'`, () => {
      expect(parseMoment(text)).to.equal(null)
    })
  }
})
