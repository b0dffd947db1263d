import { join } from 'node:path'
import { expect } from 'chai'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import type { TokenLedgerOptions } from '../../src/settings/options.ts'
import { type Api, bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { eventually } from '../support/suite/eventually.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import { fileOfRows, type OldRow, oldRow, oldToken, sha256, takeOver } from '../support/events/oldTable.ts'
import { endServices, ownFolder } from '../support/processes/service.ts'

const VERIFY = '/auth/verify'
const BAD = 'Bearer realm="tokenledger", error="invalid_token"'
const LIKE_OURS = `tkl_${'o'.repeat(49)}`
const OWN_SHAPE = 'tkl_fx1wPvbolaz8VZ6GDnW5NvJ2fWOkg7gHRomzl6OBAEA1v3gnH'

const iso = (time: number): string => new Date(time).toISOString()

/** A service on a store into which rows were imported. The rows are named by their tokens. */
async function importedInto(
  rows: readonly OldRow[],
  options: TokenLedgerOptions = { acceptLegacyTokens: true },
): Promise<TestService> {
  const folder = await ownFolder()
  const store = await openSqliteEventStore(join(folder, 'events.db'))
  await takeOver(store, fileOfRows(rows), iso(Date.now()))
  await store.close()
  return startLedger(options, folder)
}

describe('An imported token', () => {
  const jwt = jwtFor('acct_1')
  let now = Date.now()
  let service: TestService
  let anyone: Api
  let owner: Api
  const lastAccessed = iso(now - 86_400_000)
  const expiresAt = iso(now + 60_000)

  before(async () => {
    const rows = [
      oldRow(1, { last_accessed: lastAccessed }),
      oldRow(2, { expires_at: expiresAt }),
      oldRow(3, { account_id: 'acct_2' }),
      oldRow(4),
      oldRow(5, { token: sha256(OWN_SHAPE) }),
      oldRow(6, { token: sha256('tkl_of-an-earlier-system') }),
      oldRow(7, { token: sha256('x'.repeat(15)) }),
      oldRow(8, { expires_at: '2025-01-01T00:00:00Z' }),
      oldRow(9),
      oldRow(10, { account_id: 'acct_2', token: sha256(LIKE_OURS) }),
      oldRow(21),
    ]
    service = await importedInto(rows, { acceptLegacyTokens: true, clock: () => now })
    anyone = callerOf(service.url)
    owner = anyone.with(bearer(jwt))
  })
  after(async () => {
    await service.close()
    await endServices()
  })

  const verify = (headers: Record<string, string>) => anyone.get(VERIFY, headers)
  const use = (n: number) => verify(tokenHeader(oldToken(n)))
  const idOf = async (n: number): Promise<string> => (await use(n)).body.token_id ?? ''

  async function expectRefused(headers: Record<string, string>): Promise<void> {
    const { status, headers: answered } = await verify(headers)
    expect([status, answered.get('www-authenticate')]).to.deep.equal([401, BAD])
  }

  it('is accepted in the API token header, and speaks for its account', async () => {
    const { status, body, headers } = await use(3)
    expect(status).to.equal(200)
    expect(body).to.include({ kind: 'token', account_id: 'acct_2' })
    expect(headers.get('x-token-id')).to.equal(body.token_id)
    expect(body.scopes).to.deep.equal([])
  })

  it('is listed with all that was known of it', async () => {
    const { body } = await owner.get(`${TOKENS}?q=old+token+1`)
    expect(body.data).to.have.lengthOf(1)
    expect({ ...body.data[0], id: '' }).to.deep.equal({
      id: '',
      account_id: 'acct_1',
      name: 'old token 1',
      description: null,
      metadata: {},
      hint: '…',
      scopes: [],
      allowed_ips: null,
      rotatable: false,
      rotation: null,
      status: 'active',
      created_by: { kind: 'system', id: 'import-tokens' },
      created_at: '2024-05-01T10:00:00.000Z',
      updated_at: '2024-06-01T08:00:00.500Z',
      last_accessed: lastAccessed,
      expires_at: null,
      revoked_at: null,
      revision: 0,
    })
  })

  it('rotates to a secret of our format, and the old one is good until its grace is over', async () => {
    const { body } = await owner.get(`${TOKENS}?q=old+token+21`)
    const { id } = body.data[0] as { id: string }
    const rotated = await owner.post(`${TOKENS}/${id}/rotations`, { grace_seconds: 600 })
    expect(rotated.status, rotated.text).to.equal(201)
    expect(rotated.body.token).to.match(/^tkl_[0-9A-Za-z]{49}$/)
    expect((await use(21)).status).to.equal(200)
    expect((await verify(tokenHeader(rotated.body.token))).status).to.equal(200)
    await eventually(async () =>
      expect((await owner.get(`${TOKENS}/${id}`)).body).to.deep.include({
        hint: rotated.body.rotation.hint,
      }),
    )
    expect((await use(21)).headers.get('token-retires-at')).to.match(/Z$/)
    expect((await owner.delete(`${TOKENS}/${id}/rotations?status=grace`)).status).to.equal(204)
    await expectRefused(tokenHeader(oldToken(21)))
    expect((await verify(tokenHeader(rotated.body.token))).status).to.equal(200)
  })

  it('is not accepted after Bearer: what has not our prefix there is a JWT', async () => {
    await expectRefused(bearer(oldToken(1)))
    await expectRefused(bearer('tkl_of-an-earlier-system'))
    expect((await verify(tokenHeader('tkl_of-an-earlier-system'))).status).to.equal(200)
  })

  it('is not accepted after Bearer either when it has just been used, and is as long as one of ours', async () => {
    for (let i = 0; i < 2; i++) expect((await verify(tokenHeader(LIKE_OURS))).status).to.equal(200)
    await expectRefused(bearer(LIKE_OURS))
  })

  it('is not accepted by verify() of the library, which knows no header', async () => {
    expect(await service.ledger.verify(oldToken(1))).to.equal(null)
  })

  it('is not looked for with the own format, nor with fewer characters than an old token has', async () => {
    await expectRefused(tokenHeader(OWN_SHAPE))
    await expectRefused(tokenHeader('x'.repeat(15)))
  })

  it('that nobody knows is refused as any other', async () => {
    await expectRefused(tokenHeader('nobody-has-ever-had-this'))
    const metrics = await service.ledger.metrics()
    expect(metrics).to.match(/\{[^}]*kind="legacy",outcome="unknown"[^}]*\} \d/)
  })

  it('expires when the old row says so', async () => {
    expect((await use(2)).status).to.equal(200)
    await expectRefused(tokenHeader(oldToken(8)))
    now += 61_000
    await expectRefused(tokenHeader(oldToken(2)))
    expect((await owner.get(`${TOKENS}?status=expired&q=token+2`)).body.data).to.have.lengthOf(1)
  })

  it('is counted, and its last use goes on from the old one', async () => {
    const id = await idOf(1)
    await eventually(async () => {
      const { body } = await owner.get(`${TOKENS}/${id}/usage?from=${iso(now - 3_600_000)}`)
      expect(body.total.requests).to.equal(1)
      expect(Date.parse(body.last_accessed ?? '')).to.be.greaterThan(Date.parse(lastAccessed))
    })
  })

  it('is renamed and given scopes, and keeps its times', async () => {
    const id = await idOf(4)
    const { status, body } = await owner.patch(
      `${TOKENS}/${id}`,
      { name: 'moved', scopes: ['orders:read'] },
      { 'If-Match': '"0"' },
    )
    expect(status).to.equal(200)
    expect(body).to.include({ name: 'moved', hint: '…', created_at: '2024-05-01T10:00:00.000Z', revision: 1 })
    expect(body.updated_at > '2026').to.equal(true)
    expect((await anyone.get(`${VERIFY}?scope=orders:read`, tokenHeader(oldToken(4)))).status).to.equal(200)
  })

  it('has a history that begins with its import, without the hash', async () => {
    const { body } = await owner.get(`${TOKENS}/${await idOf(4)}/events`)
    expect(body.data.map(({ type }) => type)).to.deep.equal(['TokenImported', 'TokenUpdated'])
    expect(body.data[0]?.actor).to.deep.equal({ kind: 'system', id: 'import-tokens' })
    expect(body.data[0]?.data).to.deep.include({ old_id: '4', created_at: '2024-05-01T10:00:00.000Z' })
    expect(body.data[0]?.data).not.to.have.any.keys('hash', 'hash_key_id')
  })

  it('may read, revoke itself and nothing else, and is refused from then on', async () => {
    const user = anyone.with(tokenHeader(oldToken(9)))
    expect((await user.get(`${TOKENS}/self`)).body.name).to.equal('old token 9')
    expect((await user.post(TOKENS, { name: 'x' })).status).to.equal(403)
    expect((await user.delete(`${TOKENS}/self`)).status).to.equal(204)
    await expectRefused(tokenHeader(oldToken(9)))
  })

  it('is refused at once when it is revoked, however often it was used before', async () => {
    const id = await idOf(4)
    expect((await use(4)).status).to.equal(200)
    expect((await owner.delete(`${TOKENS}/${id}`)).status).to.equal(204)
    await expectRefused(tokenHeader(oldToken(4)))
    expect((await owner.get(`${TOKENS}/${id}`)).body.status).to.equal('revoked')
  })

  it('leaves tokens of ours what they are', async () => {
    const { token } = await createToken(owner)
    expect((await verify(tokenHeader(token))).status).to.equal(200)
    expect((await verify(bearer(token))).status).to.equal(200)
    await expectRefused(tokenHeader(`${token.slice(0, -1)}!`))
  })
})

describe('An imported token, with ACCEPT_LEGACY_TOKENS not set', () => {
  it('is refused as malformed, without a look-up, and is listed and revoked all the same', async () => {
    const service = await importedInto([oldRow(1)], {})
    try {
      const { status } = await callerOf(service.url).get(VERIFY, tokenHeader(oldToken(1)))
      expect(status).to.equal(401)
      const metrics = await service.ledger.metrics()
      expect(metrics).to.match(/kind="token",outcome="malformed"[^}]*\} 1/)
      expect(metrics).not.to.contain('kind="legacy"')
      const owner = callerOf(service.url, bearer(jwtFor('acct_1')))
      const { id = '' } = (await owner.get(TOKENS)).body.data[0] ?? {}
      expect((await owner.delete(`${TOKENS}/${id}`)).status).to.equal(204)
    } finally {
      await service.close()
      await endServices()
    }
  })
})

describe('Tokens that nobody knows, with ACCEPT_LEGACY_TOKENS', () => {
  it('count towards the limit of failures', async () => {
    const service = await importedInto([oldRow(1)], {
      acceptLegacyTokens: true,
      rateLimitFailuresPerMinute: 3,
    })
    try {
      const caller = callerOf(service.url)
      const statuses: number[] = []
      for (let n = 100; n < 105; n++) {
        statuses.push((await caller.get(VERIFY, tokenHeader(oldToken(n)))).status)
      }
      expect(statuses).to.deep.equal([401, 401, 401, 429, 429])
      expect((await caller.get(VERIFY, tokenHeader(oldToken(1)))).status).to.equal(200)
    } finally {
      await service.close()
      await endServices()
    }
  })

  it('that are imported count as many tokens for MAX_TOKENS_PER_ACCOUNT, which their import does not ask', async () => {
    const rows = [1, 2, 3].map((n) => oldRow(n))
    const service = await importedInto(rows, { acceptLegacyTokens: true, maxTokensPerAccount: 2 })
    try {
      const owner = callerOf(service.url, bearer(jwtFor('acct_1')))
      expect((await owner.get(TOKENS)).body.data).to.have.lengthOf(3)
      expect((await owner.post(TOKENS, { name: 'one more' })).body.code).to.equal('token_limit_reached')
    } finally {
      await service.close()
      await endServices()
    }
  })
})
