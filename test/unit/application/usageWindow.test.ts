import { expect } from 'chai'
import { ids } from '../../../src/application/ids.ts'
import type { EventStore, Telemetry } from '../../../src/application/ports.ts'
import { createRecorder } from '../../../src/application/record.ts'
import type { EventData, NewEvent } from '../../../src/domain/events.ts'

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

/** What is stored of one use on a route by an agent. */
async function storedOf(route: string, userAgent: string): Promise<EventData<'TokenUsed'>> {
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
    expiresAt: Number.POSITIVE_INFINITY,
    revoked: false,
    stopped: null,
    revision: 0,
    readAt: { monotonic: 0, wall: 0 },
    stale: false,
  }
  recorder.record({ record, at: AT, outcome: '2xx', method: 'GET', route, ip: null, userAgent })
  await recorder.flush()
  const [event] = stored
  if (event?.type !== 'TokenUsed') throw new Error('no use was stored')
  return event.data
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
      // Enough of it to go on guessing, and not so little that any text holds it.
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
