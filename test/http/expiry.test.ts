import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import Koa from 'koa'
import supertest from 'supertest'
import {
  type Api,
  type Body,
  bearer,
  callerOf,
  createToken,
  TOKENS,
  tokenHeader,
} from '../support/callers/caller.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import { eventually } from '../support/suite/eventually.ts'

const DAY = 86_400_000
const START = Date.parse('2026-11-27T12:00:00.000Z')
const at = (days: number): string => new Date(START + days * DAY).toISOString()

describe('The expiry of a token', () => {
  let now: number
  let folder: string
  let service: TestService
  let owner: Api

  const start = async () => {
    service = await startLedger({ clock: () => now }, folder)
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  }
  beforeEach(async () => {
    now = START
    folder = await mkdtemp(join(tmpdir(), 'tokenledger-expiry-'))
    await start()
  })
  afterEach(async () => {
    await service.close()
    await rm(folder, { recursive: true, force: true })
  })

  const noticesOf = async ({ id }: Pick<Body, 'id'>): Promise<string[]> => {
    const { data } = (await owner.get(`${TOKENS}/${id}/events?limit=100`)).body
    return data
      .filter(({ type }) => type.startsWith('TokenExp'))
      .map(({ type, data: { days = '' } }) => `${type} ${String(days)}`.trim())
  }
  const isTold = (token: Pick<Body, 'id'>, ...expected: string[]) =>
    eventually(async () => expect(await noticesOf(token)).to.deep.equal(expected))
  /** As long as it takes until everything that is due was written: this token's expiry is told behind the others. */
  const settled = async () => {
    const last = await createToken(owner, { expires_at: new Date(now + 1).toISOString() })
    now += 2
    await isTold(last, 'TokenExpired')
  }

  it('is told beforehand, once each, by events that change nothing but the revision', async () => {
    const token = await createToken(owner, { expires_at: at(40) })
    now = START + 10 * DAY
    await isTold(token, 'TokenExpiring 30')
    await settled()
    await isTold(token, 'TokenExpiring 30')
    const { body, headers } = await owner.get(`${TOKENS}/${token.id}`)
    expect(body).to.include({ revision: 1, updated_at: token.updated_at, status: 'active' })
    expect(headers.get('etag')).to.equal('"1"')
    now = START + 39.5 * DAY
    await isTold(token, 'TokenExpiring 30', 'TokenExpiring 1')
    now = START + 40 * DAY
    await isTold(token, 'TokenExpiring 30', 'TokenExpiring 1', 'TokenExpired')
    const { data } = (await owner.get(`${TOKENS}/${token.id}/events`)).body
    expect(data.at(-1)).to.deep.include({ data: { expires_at: at(40) } })
    expect(data.at(-1)?.actor.kind).to.equal('system')
    expect(
      (await owner.get(`${TOKENS}/events?types=TokenExpiring,TokenExpired`)).body.data.length,
    ).to.be.above(2)
  })

  it('is told anew when it has changed, and not at all of what was revoked or extended in time', async () => {
    const [kept, extended, revoked, unlimited] = [
      await createToken(owner, { expires_at: at(40) }),
      await createToken(owner, { expires_at: at(40) }),
      await createToken(owner, { expires_at: at(40) }),
      await createToken(owner, { expires_at: at(40) }),
    ]
    await owner.patch(`${TOKENS}/${extended.id}`, { expires_at: at(100) })
    await owner.patch(`${TOKENS}/${unlimited.id}`, { expires_at: null })
    await owner.delete(`${TOKENS}/${revoked.id}`)
    now = START + 35 * DAY
    await isTold(kept, 'TokenExpiring 7')
    await owner.patch(`${TOKENS}/${kept.id}`, { expires_at: at(80) })
    now = START + 75 * DAY
    await isTold(kept, 'TokenExpiring 7', 'TokenExpiring 7')
    await isTold(extended, 'TokenExpiring 30')
    for (const token of [revoked, unlimited]) expect(await noticesOf(token)).to.deep.equal([])
  })

  it('is told once over restarts and clocks that are set back', async () => {
    const token = await createToken(owner, { expires_at: at(40) })
    now = START + 34 * DAY
    await isTold(token, 'TokenExpiring 7')
    now = START + 12 * DAY
    await settled()
    await service.close()
    await start()
    now = START + 34 * DAY
    await settled()
    await isTold(token, 'TokenExpiring 7')
    await service.close()
    now = START + 60 * DAY
    await start()
    await isTold(token, 'TokenExpiring 7', 'TokenExpired')
  })

  it('stands in every answer to a token that has one, also in the app of a host', async () => {
    const [limited, unlimited] = [await createToken(owner, { expires_at: at(40) }), await createToken(owner)]
    const app = new Koa().use(service.ledger.authenticate()).use((ctx) => {
      ctx.body = 'orders'
    })
    for (const [token, expected] of [
      [limited, at(40)],
      [unlimited, null],
    ] as const) {
      const caller = callerOf(service.url, tokenHeader(token.token))
      for (const path of ['/auth/verify', '/auth/verify/orders', `${TOKENS}/self`, TOKENS, `${TOKENS}/none`])
        expect((await caller.get(path)).headers.get('token-expires-at'), path).to.equal(expected)
      const { headers } = await supertest(app.callback()).get('/').set(tokenHeader(token.token))
      expect(headers['token-expires-at'] ?? null).to.equal(expected)
    }
    expect((await owner.get(TOKENS)).headers.has('token-expires-at')).to.equal(false)
  })
})
