import { expect } from 'chai'
import { ids } from '../../../../src/application/eventLog/ids.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import type { Telemetry } from '../../../../src/application/ports/telemetry.ts'
import { createRecorder } from '../../../../src/application/usage/recorder.ts'
import type { NewEvent } from '../../../../src/domain/events.ts'
import { entriesOf, type UsageEntry } from '../../../../src/domain/usageEntries.ts'

const AT = Date.UTC(2026, 2, 1, 10)
const TOKEN = 'tkl_fx1wPvbolaz8VZ6GDnW5NvJ2fWOkg7gHRomzl6OBAEA1v3gnH'
const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl'
const MAX_TEXT = 256

const telemetry: Telemetry = {
  log: { debug() {}, info() {}, warn() {}, error() {} },
  authenticated() {},
  appended() {},
  projected() {},
  usageLost() {},
  damaged() {},
}

interface Caller {
  ip?: string | null
  userAgent: string | null
  outcome?: string
}

/** What is stored of uses on a route by these agents, all in one window. */
async function storedOf(route: string, ...callers: (string | Caller)[]): Promise<UsageEntry> {
  const stored: NewEvent[] = []
  const appends: Pick<EventStore, 'append'> = {
    async append(_, __, events) {
      stored.push(...events)
      return { revision: stored.length - 1, position: String(stored.length) }
    },
  }
  const store = appends as EventStore
  const recorder = createRecorder({ store, clock: () => AT, ids, flushMs: 1000, telemetry })
  const record = {
    principal: { kind: 'token' as const, accountId: 'acct_1', tokenId: 't', scopes: [] },
    tokenId: 't',
    createdAt: 0,
    secret: 0,
    retiresAt: Number.POSITIVE_INFINITY,
    isUnused: false,
    allowedIps: null,
    expiresAt: Number.POSITIVE_INFINITY,
    revoked: false,
    stopped: null,
    revision: 0,
    readAt: { monotonic: 0, wall: 0 },
    stale: false,
  }
  for (const caller of callers) {
    const known = typeof caller === 'string' ? { userAgent: caller } : caller
    recorder.record({ record, secret: 0, at: AT, outcome: '2xx', method: 'GET', route, ip: null, ...known })
  }
  await recorder.flush()
  const [entry, ...others] = stored.flatMap(entriesOf)
  if (!entry || others.length > 0) throw new Error('there is not one entry')
  return entry
}

describe('what is kept of the words of a caller', () => {
  it('is at most 256 characters', async () => {
    const { routes, lastUserAgent } = await storedOf(`/${'r'.repeat(300)}`, 'a'.repeat(300))
    expect(routes[0]?.route).to.have.lengthOf(MAX_TEXT)
    expect(lastUserAgent).to.have.lengthOf(MAX_TEXT)
  })

  for (const [what, credential] of [
    ['a token', TOKEN],
    ['a JWT', JWT],
  ] as const) {
    it(`holds no piece of ${what}, wherever the text is cut`, async () => {
      // Enough to guess the rest, and too much to be in a text by chance.
      const piece = credential.slice(0, 20)
      for (let kept = 20; kept <= credential.length; kept++) {
        const text = `/${'x'.repeat(MAX_TEXT - kept - 2)}/${credential}`
        const { routes, lastUserAgent } = await storedOf(text, text)
        expect(routes[0]?.route, `route after ${kept}`).not.to.include(piece)
        expect(lastUserAgent, `agent after ${kept}`).not.to.include(piece)
      }
    })
  }
})

describe('where the uses of a window came from', () => {
  const owner = { ip: '192.0.2.1', userAgent: 'deploy/1.0' }
  const thief = { ip: '203.0.113.9', userAgent: 'curl/8.5.0' }

  it('is said by the last caller alone where there was no other', async () => {
    const data = await storedOf('/', owner, owner)
    expect(data).to.include({ count: 2, lastIp: owner.ip, lastUserAgent: owner.userAgent })
    expect(data).to.not.have.any.keys('addresses', 'otherAddresses', 'userAgents', 'otherUserAgents')
    expect(data.routes).to.deep.equal([{ method: 'GET', route: '/', count: 2 }])
  })

  it('names one that came between two uses of another', async () => {
    const data = await storedOf('/', owner, owner, { ...thief, outcome: '4xx' }, owner)
    expect(data).to.deep.include({
      lastIp: owner.ip,
      addresses: [
        { ip: owner.ip, count: 3 },
        { ip: thief.ip, count: 1 },
      ],
      userAgents: [
        { userAgent: owner.userAgent, count: 3 },
        { userAgent: thief.userAgent, count: 1 },
      ],
      routes: [{ method: 'GET', route: '/', count: 4, outcomes: { '2xx': 3, '4xx': 1 } }],
    })
    expect(data).to.not.have.any.keys('otherAddresses', 'otherUserAgents')
  })

  it('tells one member apart where only that one changed, unknown callers too', async () => {
    const data = await storedOf('/', owner, { ...owner, ip: null })
    expect(data.addresses).to.deep.equal([
      { ip: owner.ip, count: 1 },
      { ip: null, count: 1 },
    ])
    expect(data).to.not.have.any.keys('userAgents')
  })

  it('names 20, and counts the rest', async () => {
    const many = Array.from({ length: 25 }, (_, i) => ({ ip: `192.0.2.${i}`, userAgent: `agent ${i}` }))
    const data = await storedOf('/', ...many, ...many)
    expect(data.addresses).to.have.lengthOf(20)
    expect(data.userAgents).to.have.lengthOf(20)
    expect(data).to.include({ count: 50, otherAddresses: 10, otherUserAgents: 10 })
  })

  it('holds no credential that a caller put where its name belongs', async () => {
    const data = await storedOf('/', owner, { ip: TOKEN, userAgent: `x ${JWT}` }, owner)
    expect(JSON.stringify(data)).to.not.contain(TOKEN).and.not.contain(JWT)
    expect(data.addresses?.[1]?.ip).to.equal('[credential]')
    expect(data.userAgents?.[1]?.userAgent).to.equal('x [credential]')
  })
})
