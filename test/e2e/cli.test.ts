import { generateKeyPairSync } from 'node:crypto'
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import jsonwebtoken from 'jsonwebtoken'
import { tokens } from '../../projections/tokens.ts'
import {
  apiOf,
  type CreatedToken,
  type HistoryRow,
  type ResultPage,
  type Usage,
} from '../support/callers/api.ts'
import { type CliResult, cli, cliCutOff } from '../support/processes/cli.ts'
import { eventually } from '../support/suite/eventually.ts'
import { PEPPERS, SECRET } from '../support/processes/ledger.ts'
import { endServices, ownFolder, type ServiceProcess, startService } from '../support/processes/service.ts'

const UNKNOWN = '01a20813-a0b7-7734-878d-269fb727386e'
/** Base64 of the pepper, without its key id. */
const PEPPER = PEPPERS.split(':')[1] as string

interface Check {
  name: string
  status: string
  detail: string
  facts: Record<string, unknown>
}

type Then = ResultPage<HistoryRow> & { at: string; token: Record<string, unknown> }
type ShownUsage = Usage & { from: string; buckets: unknown[]; tokens: object[] }

describe('tokenledger, beside a live service', () => {
  let service: ServiceProcess
  let token: CreatedToken
  let events: (HistoryRow & { at?: string })[]
  const outputs: string[] = []

  /** All outputs are kept, and searched for secrets at the end. */
  async function run(args: readonly string[], env = {}, folder = service.folder): Promise<CliResult> {
    const result = await cli(args, folder, env)
    outputs.push(result.stdout, result.stderr)
    return result
  }

  async function runJson<T>(args: readonly string[], env = {}): Promise<T> {
    const { code, stdout, stderr } = await run([...args, '--json'], env)
    expect(code, stderr).to.equal(0)
    return JSON.parse(stdout) as T
  }

  before(async () => {
    service = await startService({ USAGE_FLUSH_MS: '20' })
    const api = apiOf(service.url)
    token = (await api.create({ name: 'CI', scopes: ['orders:read'] })).body
    await api.patch(token.id, { name: 'CI deploy', expires_at: '2027-01-01T00:00:00Z' })
    for (let i = 0; i < 3; i++) expect(await api.use(token.token)).to.equal(200)
    events = (await api.events(token.id)).body.data
    await eventually(async () => {
      expect((await api.usage(token.id)).body.total.requests).to.equal(3)
    })
  })

  after(endServices)

  describe('jwt', () => {
    it('makes a JWT that the service accepts, for the account and time asked for', async () => {
      const args = ['jwt', '--account', 'acct_9', '--ttl', '15m', '--scope', 'orders:read b']
      const made = await cli(args, service.folder)
      expect(made.code).to.equal(0)
      const answer = await fetch(`${service.url}/auth/verify?scope=b`, {
        headers: { authorization: `Bearer ${made.stdout.trim()}` },
      })
      expect(answer.status).to.equal(200)
      expect(answer.headers.get('x-account-id')).to.equal('acct_9')
      const { exp = 0, iat = 0 } = jsonwebtoken.decode(made.stdout.trim()) as jsonwebtoken.JwtPayload
      expect(exp - iat).to.equal(900)
    })

    it('tells with --json when it expires', async () => {
      const { stdout } = await cli(['jwt', '--json'], service.folder)
      const made = JSON.parse(stdout)
      expect(made).to.have.all.keys('jwt', 'account_id', 'expires_at')
      expect(made.account_id).to.equal('acct_1')
      expect(Date.parse(made.expires_at) - Date.now()).to.be.within(3_500_000, 3_600_000)
    })

    it('has the account in the claim that is configured, with issuer and audience', async () => {
      const env = { JWT_ACCOUNT_CLAIM: 'org', JWT_ISSUER: 'me', JWT_AUDIENCE: 'you' }
      const { stdout } = await cli(['jwt'], service.folder, env)
      const claims = jsonwebtoken.verify(stdout.trim(), SECRET, { issuer: 'me', audience: 'you' })
      expect(claims).to.include({ sub: 'acct_1', org: 'acct_1' })
    })

    it('is refused in production', async () => {
      const { code, stdout, stderr } = await run(['jwt'], { NODE_ENV: 'production' })
      expect([code, stdout]).to.deep.equal([2, ''])
      expect(stderr).to.match(/production/)
    })

    it('is refused where JWTs are verified with a public key', async () => {
      const folder = await ownFolder()
      const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      await writeFile(join(folder, 'key.pem'), publicKey.export({ type: 'spki', format: 'pem' }))
      const env = { JWT_SECRET: undefined, JWT_PUBLIC_KEY_FILE: 'key.pem' }
      const { code, stdout } = await run(['jwt'], env, folder)
      expect([code, stdout]).to.deep.equal([2, ''])
    })

    it('makes the development secret where there is none yet, for a service that starts later', async () => {
      const folder = await ownFolder()
      const none = { JWT_SECRET: undefined, TOKEN_PEPPERS: undefined }
      const { stdout } = await cli(['jwt'], folder, none)
      const { jwtSecret } = JSON.parse(await readFile(join(folder, 'data/dev-secrets.json'), 'utf8'))
      expect(jsonwebtoken.verify(stdout.trim(), jwtSecret)).to.include({ sub: 'acct_1' })
    })

    it('answers 2 to what the service would not accept', async () => {
      for (const args of [['--ttl', '1y'], ['--scope', 'Not A Scope'], ['--account', 'a\nb'], ['surplus']]) {
        expect((await run(['jwt', ...args])).code, args.join(' ')).to.equal(2)
      }
    })
  })

  describe('history', () => {
    it('tells who did what when, and what changed', async () => {
      const { code, stdout } = await run(['history', token.id])
      expect(code).to.equal(0)
      const [, first, second] = stdout.split('\n')
      expect(first).to.match(/^ +0 +\d{4}-.*TokenCreated +jwt acct_1 .*name "CI"/)
      expect(second).to.match(/^ +1 .*TokenUpdated.*name "CI" → "CI deploy", expires_at none → "2027-/)
    })

    it('prints with --json what GET /events answers', async () => {
      expect(await runJson(['history', token.id])).to.deep.equal({ data: events, next_cursor: null })
    })

    it('tells the token as it was at a revision, and at a time', async () => {
      const byRevision = await runJson<Then>(['history', token.id, '--at', '0'])
      expect(byRevision.token).to.include({ name: 'CI', status: 'active', revision: 0, expires_at: null })
      expect(byRevision.data).to.have.length(1)
      const byTime = await runJson<Then>(['history', token.id, '--at', events[1]?.at ?? ''])
      expect(byTime.token).to.include({ name: 'CI deploy', status: 'active', revision: 1 })
      const later = await runJson<Then>(['history', token.id, '--at', '2027-01-01T00:00:00Z'])
      expect(later.token.status).to.equal('expired')
      expect((await run(['history', token.id, '--at', '1'])).stdout).to.match(/^name +CI deploy$/m)
    })

    it('answers 1 before the token was, beyond its end, and for one that never was', async () => {
      for (const args of [[token.id, '--at', '2020-01-01T00:00:00Z'], [token.id, '--at', '2'], [UNKNOWN]]) {
        const { code, stdout, stderr } = await run(['history', ...args])
        expect([code, stdout], stderr).to.deep.equal([1, ''])
      }
    })

    it('answers 2 to what is no time, no revision, no id', async () => {
      for (const args of [[token.id, '--at', 'noon'], [token.id, '--at=-1'], ['42'], [token.token], []]) {
        expect((await run(['history', ...args])).code).to.equal(2)
      }
    })
  })

  describe('usage', () => {
    it('tells of one token what the HTTP route tells', async () => {
      const found = await runJson<ShownUsage>(['usage', '--token', token.id])
      expect(found).to.include({ token_id: token.id, granularity: 'day' })
      expect(found.total).to.deep.equal({ requests: 3, outcomes: { accepted: 3 } })
      expect(found.routes).to.deep.equal([{ method: 'GET', route: '/auth/verify', requests: 3 }])
      expect(found.buckets).to.have.length(1)
      expect((await run(['usage', '--token', token.id])).stdout).to.contain('3 requests: 3 accepted')
    })

    it('has a row for each token of an account', async () => {
      const found = await runJson<ShownUsage>(['usage', '--account', 'acct_1', '--granularity', 'hour'])
      expect(found.tokens[0]).to.include({ token_id: token.id, name: 'CI deploy', requests: 3 })
      expect((await run(['usage', '--account', 'acct_1'])).stdout).to.contain(token.id)
    })

    it('prints the buckets as CSV', async () => {
      const { code, stdout } = await run(['usage', '--account', 'acct_1', '--csv'])
      expect(code).to.equal(0)
      expect(stdout).to.match(/^at,requests,accepted\r\n\d{4}-\d\d-\d\dT00:00:00\.000Z,3,3\r\n$/)
    })

    it('looks at the range asked for', async () => {
      const found = await runJson<ShownUsage>([
        'usage',
        '--token',
        token.id,
        '--from',
        '2020-01-01',
        '--to',
        '2020-02-01',
      ])
      expect(found.from).to.equal('2020-01-01T00:00:00.000Z')
      expect(found.total).to.deep.equal({ requests: 0, outcomes: {} })
    })

    it('answers 1 for a token and an account that there is nothing of', async () => {
      expect((await run(['usage', '--token', UNKNOWN])).code).to.equal(1)
      expect((await run(['usage', '--account', 'acct_none'])).code).to.equal(1)
    })

    it('answers 2 to none or both of account and token, and to a range that is none', async () => {
      const both = ['--token', token.id, '--account', 'acct_1']
      const one = ['--account', 'acct_1']
      const wrong = [
        [],
        both,
        ['--token', token.token],
        [...one, '--from', 'May'],
        [...one, '--from', '2026-01-02', '--to', '2026-01-01'],
        [...one, '--granularity', 'week'],
        [...one, '--csv', '--json'],
      ]
      for (const args of wrong) expect((await run(['usage', ...args])).code, args.join(' ')).to.equal(2)
    })
  })

  describe('doctor', () => {
    it('finds a live service sound', async () => {
      const { ok, checks } = await runJson<{ ok: boolean; checks: Check[] }>(['doctor'])
      expect(ok).to.equal(true)
      const of = (name: string): Check => checks.find((check) => check.name === name) as Check
      expect(of('event store').facts.events).to.be.at.least(3)
      expect(of('event store integrity').status).to.equal('ok')
      expect(of(`projection tokens v${tokens.version}`)).to.nested.include({
        status: 'ok',
        'facts.lag_events': 0,
      })
      expect(of('peppers').facts).to.deep.equal({ in_use: { k1: 1 }, missing: [] })
      expect(of('sqlite').facts.driver).to.be.oneOf(['node:sqlite', 'libsql'])
      expect(of('disk sync').facts.median_ms).to.be.a('number')
      expect(of('disk space').facts.free_bytes).to.be.a('number')
      const { stdout } = await run(['doctor'])
      expect(stdout)
        .to.match(/^ok +settings +set: .*JWT_SECRET/m)
        .and.contain(', 0 failed\n')
    })

    it('counts the events that are exported, and the signals of processes by themselves', async () => {
      const counted = async () => {
        const { checks } = await runJson<{ checks: Check[] }>(['doctor'])
        return checks.find(({ name }) => name === 'event store')?.facts as { events: number; signals: number }
      }
      const [before, { stdout }, after] = [
        await counted(),
        await cli(['export'], service.folder),
        await counted(),
      ]
      const exported = stdout.split('\n').filter((line) => line.includes('"stream"')).length
      expect(exported).to.be.within(before.events, after.events)
      expect(after.signals).to.be.at.least(1)
    })

    it('says once, and with its causes, that the read model is not of this log', async () => {
      const other = await ownFolder()
      const { url, stop } = await startService({}, other)
      await apiOf(url).create({ name: 'elsewhere' })
      await stop()
      const env = { EVENT_STORE_URL: `sqlite:${join(other, 'data/events.db')}` }
      const { code, stdout } = await run(['doctor'], env)
      expect(code).to.equal(1)
      expect(stdout).to.match(/^FAIL +projections +at /m)
      expect(stdout.match(/delete the read model/g)).to.have.lengthOf(1)
      expect(stdout).to.contain('EVENT_STORE_URL or READ_MODEL_URL names another store')
    })

    it('leaves nothing behind in the data folder', async () => {
      const before = await readdir(join(service.folder, 'data'))
      await run(['doctor'])
      expect(await readdir(join(service.folder, 'data'))).to.have.members(before)
    })

    it('fails for a pepper that tokens need and the settings lack', async () => {
      const env = { TOKEN_PEPPERS: `k2:${Buffer.alloc(32, 9).toString('base64')}` }
      const { code, stdout } = await run(['doctor'], env)
      expect(code).to.equal(1)
      expect(stdout).to.match(/^FAIL +peppers +missing: k1/m)
    })

    it('fails for secrets that others can read, and mends nothing', async () => {
      const folder = await ownFolder()
      await cli(['jwt'], folder, { JWT_SECRET: undefined })
      const file = join(folder, 'data/dev-secrets.json')
      await chmod(file, 0o644)
      for (let again = 0; again < 2; again++) {
        const { code, stdout } = await run(['doctor'], { JWT_SECRET: undefined }, folder)
        expect(code).to.equal(1)
        expect(stdout)
          .to.match(/^FAIL +dev secrets/m)
          .and.contain('chmod 600')
      }
    })
  })

  describe('in the end', () => {
    it('ends quietly when its reader goes away', async () => {
      const { code, stderr } = await cliCutOff(['history', token.id], service.folder)
      expect([code, stderr]).to.deep.equal([0, ''])
    })

    it('never showed a secret', () => {
      const all = outputs.join('\n')
      expect(outputs.length).to.be.greaterThan(40)
      for (const secret of [token.token, SECRET, PEPPER]) expect(all).not.to.contain(secret)
      expect(all).not.to.match(/\b[0-9a-f]{64}\b/)
      expect(all).not.to.match(/hash/i)
    })

    it('did not disturb the service, which stops and starts as ever', async () => {
      expect(await apiOf(service.url).use(token.token)).to.equal(200)
      expect(service.output()).not.to.match(/"level":(40|50|60)/)
      expect(await service.stop()).to.equal(0)
      expect((await run(['history', token.id])).code).to.equal(0)
      expect((await run(['usage', '--token', token.id])).code).to.equal(0)
      service = await startService({}, service.folder)
      expect(await apiOf(service.url).use(token.token)).to.equal(200)
    })
  })
})
