import Koa from 'koa'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import type { TokenLedgerOptions } from '../../src/settings/options.ts'
import { type Body, bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { eventually } from '../support/suite/eventually.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import { sendRaw } from '../support/callers/raw.ts'

const UNKNOWN = 'tkl_fx1wPvbolaz8VZ6GDnW5NvJ2fWOkg7gHRomzl6OBAEA1v3gnH'
const PEER = '127.0.0.1'

describe("A caller's address", () => {
  let service: TestService
  let token: Body
  const start = async (options: TokenLedgerOptions) => {
    service = await startLedger(options)
    token = await createToken(callerOf(service.url, bearer(jwtFor('acct_1'))))
  }
  afterEach(() => service.close())

  /** The address of one more use with these `X-Forwarded-For` fields, as the blast radius shows it. */
  async function addressAfter(...fields: string[]): Promise<string | null> {
    const before = await addresses()
    const headers = fields.map((value) => ['X-Forwarded-For', value] as const)
    await sendRaw(service.url, 'GET', '/auth/verify', [...headers, ['X-API-Token', token.token]])
    return eventually(async () => {
      const now = await addresses()
      const used = [...now].find(([ip, requests]) => requests > (before.get(ip) ?? 0))
      if (!used) throw new Error('it was not counted yet')
      return used[0]
    })
  }

  async function addresses(): Promise<Map<string | null, number>> {
    const owner = callerOf(service.url, bearer(jwtFor('acct_1')))
    const { body } = await owner.get(`${TOKENS}/${token.id}/blast-radius`)
    const { data } = (body as unknown as { addresses: { data: { ip: string | null; requests: number }[] } })
      .addresses
    return new Map(data.map(({ ip, requests }) => [ip, requests]))
  }

  it("is the connection's, whatever the caller says", async () => {
    await start({})
    expect(await addressAfter('192.0.2.1')).to.equal(PEER)
  })

  it('is the nth from the right of what proxies say, and none where fewer say something', async () => {
    await start({ trustProxyHops: 2 })
    expect(await addressAfter('203.0.113.9, 192.0.2.1, 10.0.0.1')).to.equal('192.0.2.1')
    expect(await addressAfter('203.0.113.9', '192.0.2.2', '10.0.0.1'), 'several fields').to.equal('192.0.2.2')
    expect(await addressAfter('192.0.2.3,10.0.0.1')).to.equal('192.0.2.3')
    expect(await addressAfter('10.0.0.1')).to.equal(null)
    expect(await addressAfter(',10.0.0.1')).to.equal(null)
    expect(await addressAfter()).to.equal(null)
  })

  it('is not hidden by any number of header fields, nor is a second credential', async () => {
    await start({ trustProxyHops: 1 })
    const many = Array.from({ length: 2_100 }, () => ['a', ''] as const)
    const credential = ['X-API-Token', token.token] as const
    const address = ['X-Forwarded-For', '192.0.2.4'] as const
    const send = (...fields: (readonly [string, string])[]) =>
      sendRaw(service.url, 'GET', '/auth/verify', [credential, ...many, ...fields])
    expect((await send(credential)).status).to.equal(400)
    expect((await send(address)).status).to.equal(200)
    await eventually(async () => expect([...(await addresses()).keys()]).to.deep.equal(['192.0.2.4']))
  })

  it('is shown in its one form, and is none if it is no address', async () => {
    await start({ trustProxyHops: 1 })
    expect(await addressAfter('192.0.2.1:49152')).to.equal('192.0.2.1')
    expect(await addressAfter('[2001:DB8:0:0:0:0:0:1]:443')).to.equal('2001:db8::1')
    expect(await addressAfter('::ffff:192.0.2.7')).to.equal('192.0.2.7')
    expect(await addressAfter('unknown')).to.equal(null)
    expect(await addressAfter(`${'1'.repeat(10_000)}.2.3.4`)).to.equal(null)
  })

  it('is that of a peer that is none of the proxies', async () => {
    await start({ trustProxyHops: 1, trustProxyFrom: '10.0.0.0/8, 192.0.2.1' })
    expect(await addressAfter('203.0.113.9')).to.equal(PEER)
  })

  it('is what a peer says that is one of them', async () => {
    await start({ trustProxyHops: 1, trustProxyFrom: '127.0.0.0/8' })
    expect(await addressAfter('203.0.113.9')).to.equal('203.0.113.9')
  })

  it("is never the host's own view of it, which a caller can write", async () => {
    await start({ trustProxyHops: 0 })
    const app = new Koa({ proxy: true })
    app.use(service.ledger.authenticate()).use((ctx) => {
      ctx.body = ctx.ip
    })
    const server = app.listen(0, PEER)
    await once(server, 'listening')
    try {
      const url = `http://${PEER}:${(server.address() as AddressInfo).port}`
      const headers = { ...tokenHeader(token.token), 'X-Forwarded-For': '203.0.113.9' }
      expect(await (await fetch(url, { headers })).text()).to.equal('203.0.113.9')
      await eventually(async () => expect([...(await addresses()).keys()]).to.deep.equal([PEER]))
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })
})

describe('Failures behind a proxy', () => {
  let service: TestService
  beforeEach(async () => {
    service = await startLedger({ trustProxyHops: 1, rateLimitFailuresPerMinute: 3 })
  })
  afterEach(() => service.close())

  const from = async (address: string, headers = tokenHeader('bad')) =>
    (await callerOf(service.url, { 'X-Forwarded-For': address }).get('/auth/verify', headers)).status

  async function useUp(address: string): Promise<void> {
    for (let i = 0; i < 3; i++) expect(await from(address)).to.equal(401)
    expect(await from(address)).to.equal(429)
  }

  it('are counted by address, however it is written', async () => {
    await useUp('192.0.2.1')
    expect(await from('192.0.2.1:50000')).to.equal(429)
    expect(await from('::ffff:192.0.2.1')).to.equal(429)
    expect(await from('[::ffff:c000:201]:1')).to.equal(429)
    expect(await from('192.0.2.2')).to.equal(401)
  })

  it('are counted by the /64 of an IPv6 address', async () => {
    await useUp('2001:db8:1:2::1')
    expect(await from('2001:db8:1:2:ffff:ffff:ffff:ffff')).to.equal(429)
    expect(await from('2001:db8:1:3::1')).to.equal(401)
  })

  it('of callers without an address share one count', async () => {
    await useUp('unknown')
    expect(await from('')).to.equal(429)
    expect(await from('192.0.2.1')).to.equal(401)
  })

  it('cost no look-up beyond the limit, and good tokens nothing', async () => {
    const good = await createToken(callerOf(service.url, bearer(jwtFor('acct_1'))))
    const asked = await Promise.all(
      Array.from({ length: 200 }, () => from('192.0.2.1', tokenHeader(UNKNOWN))),
    )
    expect(asked.filter((status) => status === 401)).to.have.lengthOf(3)
    expect(asked.filter((status) => status === 429)).to.have.lengthOf(197)
    expect(await from('192.0.2.1', tokenHeader(good.token)), 'its first use').to.equal(200)
    expect(await service.ledger.metrics()).to.match(/^tokenledger_look_ups_total\{of="unknown"\} 3$/m)
    expect(await from('192.0.2.1', bearer(jwtFor('acct_1')))).to.equal(200)
    expect(await from('192.0.2.1', bearer(`${jwtFor('acct_1')}x`))).to.equal(429)
  })

  it('do not shut out a good token that this process has never seen', async () => {
    const first = await startLedger({})
    const good = await createToken(callerOf(first.url, bearer(jwtFor('acct_1'))))
    const { folder } = first
    const kept = await startKept(folder)
    try {
      for (let i = 0; i < 5; i++) await kept.ask('bad')
      expect(await kept.ask(UNKNOWN)).to.equal(429)
      expect(await kept.ask(good.token)).to.equal(200)
    } finally {
      await kept.close()
    }

    async function startKept(of: string) {
      await first.ledger.close()
      const second = await startLedger({ rateLimitFailuresPerMinute: 3 }, of)
      return {
        ask: async (value: string) =>
          (await callerOf(second.url).get('/auth/verify', tokenHeader(value))).status,
        async close() {
          await second.close()
          await first.close()
        },
      }
    }
  })
})

describe('An account that the host does not know', () => {
  it('is not asked for again by a caller over its limit, and others go on', async () => {
    const asked: string[] = []
    const service = await startLedger({
      rateLimitFailuresPerMinute: 3,
      resolveAccount: async (id) => {
        asked.push(id)
        return id === 'acct_gone' ? null : { id }
      },
    })
    try {
      const status = async (account: string) =>
        (await callerOf(service.url, bearer(jwtFor(account))).get('/auth/verify')).status
      const statuses = []
      for (let i = 0; i < 10; i++) statuses.push(await status('acct_gone'))
      expect(statuses).to.deep.equal([401, 401, 401, ...Array<number>(7).fill(429)])
      expect(asked).to.deep.equal(['acct_gone', 'acct_gone', 'acct_gone'])
      expect(await status('acct_1')).to.equal(200)
    } finally {
      await service.close()
    }
  })
})
