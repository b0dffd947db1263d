import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { apiOf, type CreatedToken } from '../support/callers/api.ts'
import { leakEntry, reporter, signedReport } from '../support/callers/leaks.ts'
import { type CliResult, cli } from '../support/processes/cli.ts'
import { eventually } from '../support/suite/eventually.ts'
import { endServices, type ServiceProcess, startService } from '../support/processes/service.ts'

const UNKNOWN = '01a20813-a0b7-7734-878d-269fb727386e'
const TOKENS = '/settings/api-tokens'

interface List {
  total: number
  data: { token_id: string; account_id: string }[]
}
type Report = Record<'top' | 'never_used' | 'without_expiry' | 'leaked', List> & { account_id: string | null }

describe('tokenledger, for analysts, beside a live service', () => {
  let service: ServiceProcess
  let token: CreatedToken
  let unused: CreatedToken
  const folder = mkdtempSync(join(tmpdir(), 'tokenledger-'))
  const scanner = reporter('scanner')

  const run = (...args: string[]): Promise<CliResult> => cli(args, service.folder)

  async function runJson<T>(...args: string[]): Promise<T> {
    const { code, stdout, stderr } = await run(...args, '--json')
    expect(code, stderr).to.equal(0)
    return JSON.parse(stdout) as T
  }

  const use = (from: string, route: string, method = 'GET') =>
    fetch(`${service.url}/auth/verify`, {
      headers: {
        'x-api-token': token.token,
        'x-forwarded-for': from,
        'x-original-uri': route,
        'x-original-method': method,
        'user-agent': `agent of ${from}`,
      },
    })

  before(async () => {
    const leakKeysFile = join(folder, 'keys.json')
    writeFileSync(leakKeysFile, JSON.stringify({ public_keys: [scanner.listed] }))
    service = await startService({
      USAGE_FLUSH_MS: '20',
      TRUST_PROXY_HOPS: '1',
      VERIFY_REQUEST_HEADERS: 'x-original',
      LEAK_ACTION: 'notify',
      LEAK_KEYS_FILE: leakKeysFile,
    })
    const api = apiOf(service.url)
    token = (await api.create({ name: 'used, by =me' })).body
    unused = (await apiOf(service.url, 'acct_2').create({ name: 'unused' })).body
    await use('192.0.2.1', '/orders')
    await use('192.0.2.1', '/orders', 'POST')
    await use('203.0.113.9', '/customers')
    await eventually(async () => {
      expect((await api.usage(token.id)).body.total.requests).to.equal(3)
    })
  })
  after(async () => {
    await endServices()
    rmSync(folder, { recursive: true })
  })

  describe('usage --route', () => {
    it('counts one route, as the HTTP route does', async () => {
      const found = await runJson<object>('usage', '--token', token.id, '--route', 'GET /orders')
      expect(found).to.deep.include({
        filter: { method: 'GET', route: '/orders', other: 0 },
        total: { requests: 1, outcomes: null },
      })
      const { stdout } = await run('usage', '--account', 'acct_1', '--route', '/orders')
      expect(stdout).to.contain('\n2 requests\n').and.to.contain('\nOn /orders\n')
      const csv = await run('usage', '--account', 'acct_1', '--route', '/orders', '--csv')
      expect(csv.stdout).to.match(/^at,requests\r\n\d{4}-\d\d-\d\dT00:00:00\.000Z,2\r\n$/)
    })

    it('answers 2 to what stands for routes without a name', async () => {
      const { code, stderr } = await run('usage', '--token', token.id, '--route', '* other')
      expect([code, stderr]).to.satisfy(() => code === 2 && stderr.startsWith('--route stands for'))
    })
  })

  describe('report', () => {
    it('is of all accounts, or of one, and tells then what the HTTP route tells', async () => {
      const all = await runJson<Report>('report')
      expect(all.account_id).to.equal(null)
      expect(all.top.data.map((row) => row.token_id)).to.deep.equal([token.id])
      expect(all.never_used.data.map((row) => row.account_id)).to.deep.equal(['acct_2'])
      expect(all.without_expiry.total).to.equal(2)
      const one = await runJson<Report>('report', '--account', 'acct_1')
      const { body } = await apiOf(service.url).call<Report>('GET', `${TOKENS}/report`)
      const { from: _, to: __, ...top } = one.top as List & { from: string; to: string }
      expect(body.top).to.deep.include(top)
      expect(body.without_expiry).to.deep.equal(one.without_expiry)
    })

    it('prints tables, and one table as CSV', async () => {
      const { stdout } = await run('report')
      expect(stdout).to.match(/^\S+Z: 2 active tokens, 0 expired, 0 revoked\n\nUsed most, /)
      expect(stdout).to.contain('\nNever used, oldest first (1)\n').and.to.contain(unused.id)
      const csv = (await run('report', '--limit', '1', '--csv')).stdout.split('\r\n')
      expect(csv[0]).to.equal(
        'list,token_id,account_id,status,requests,created_at,last_accessed,expires_at,name,leaked_at,leak_source,leak_url',
      )
      expect(csv.slice(1).map((line) => line.split(',')[0])).to.deep.equal([
        'top',
        'never_used',
        'without_expiry',
        '',
      ])
      expect(csv[1]).to.match(/^top,[^,]+,acct_1,active,3,.*,"used, by =me",,,$/)
    })

    it('shows what was found in public, where, and what the token did since', async () => {
      const url = 'https://github.com/a/b\u001B[2J'
      const { body, headers } = signedReport(scanner, [leakEntry(unused.token, { url })])
      const answer = await fetch(`${service.url}/leaks/github`, { method: 'POST', body, headers })
      expect(answer.status).to.equal(200)
      const { leaked } = await runJson<Report>('report')
      expect(leaked.data.map((row) => row.token_id)).to.deep.equal([unused.id])
      const { stdout } = await run('report')
      expect(stdout).to.contain(
        '\nFound in public, latest first, with the requests since (1)\nrequests  token',
      )
      expect(stdout).to.contain('github commit  https://github.com/a/b\uFFFD[2J\n')
      const csv = (await run('report', '--csv')).stdout.split('\r\n')
      expect(csv.at(-2)).to.match(/^leaked,[^,]+,acct_2,active,0,.*,unused,20[^,]+Z,github commit,https:/)
      expect(`${stdout}${csv.join('')}`).not.to.contain(unused.token)
    })

    it('answers 1 for an account that there is nothing of, and 2 to what it cannot take', async () => {
      expect((await run('report', '--account', 'acct_none')).code).to.equal(1)
      const wrong = [
        ['--limit', '0'],
        ['--limit', '101'],
        ['--idle-days', '3651'],
        ['--expiring-days', 'x'],
        ['--from', 'May'],
        ['--csv', '--json'],
        ['surplus'],
      ]
      for (const args of wrong) expect((await run('report', ...args)).code, args.join(' ')).to.equal(2)
    })
  })

  describe('blast-radius', () => {
    it('tells what the HTTP route tells', async () => {
      const path = `${TOKENS}/${token.id}/blast-radius`
      const { body } = await apiOf(service.url).call<object>('GET', path)
      const found = await runJson<Record<string, unknown>>('blast-radius', token.id)
      expect({ ...found, to: null }).to.deep.equal({ ...body, to: null })
    })

    it('prints tables', async () => {
      const { stdout } = await run('blast-radius', token.id, '--since', '2020-01-01')
      expect(stdout).to.match(/^Since 2020-01-01T00:00:00\.000Z: 3 requests: 3 accepted$/m)
      expect(stdout).to.match(/^ +2 .* 192\.0\.2\.1$/m)
      expect(stdout).to.match(/^ +1 .* agent of 203\.0\.113\.9$/m)
      expect(stdout).to.match(/^ +1 .* 1 accepted +POST +\/orders$/m)
      expect(stdout).to.contain('\nWhere tokens are managed: none\n')
      expect(stdout).to.match(/^\S+Z +3 +2 +2 +3 accepted$/m)
    })

    it('answers 1 for an unknown token and 2 to what is no id and no time that was', async () => {
      expect((await run('blast-radius', UNKNOWN)).code).to.equal(1)
      for (const args of [
        [],
        [token.token],
        [token.id, '--since', 'May'],
        [token.id, '--since', '2100-01-01'],
      ]) {
        const { code, stderr } = await run('blast-radius', ...args)
        expect(code, args.slice(1).join(' ')).to.equal(2)
        expect(stderr).not.to.contain(token.token)
      }
    })
  })

  describe('allowed-ips --check', () => {
    const check = (...addresses: string[]) => run('allowed-ips', token.id, '--check', ...addresses)

    it('tells what the HTTP route tells, and ends with 1 where somebody would be refused', async () => {
      const path = `${TOKENS}/${token.id}/allowed-ips/check`
      const { body } = await apiOf(service.url).call<object>('POST', path, {
        body: JSON.stringify({ allowed_ips: ['192.0.2.0/24'] }),
        headers: { 'content-type': 'application/json' },
      })
      const found = await check('192.0.2.0/24', '--json')
      expect(found.code).to.equal(1)
      expect(JSON.parse(found.stdout)).to.deep.equal(body)
      const shown = await check('192.0.2.0/24')
      expect(shown.stdout)
        .to.match(/^ +1 +\S+Z +203\.0\.113\.9$/m)
        .and.contain('Accepted: 2 requests. From an unknown address, or without any: 0 requests.')
    })

    it('ends with 0 where nobody would be', async () => {
      const { code, stdout } = await check('203.0.113.9, 192.0.2.0/24')
      expect([code, stdout]).to.deep.equal([
        0,
        'No caller would be refused.\nAccepted: 3 requests. From an unknown address, or without any: 0 requests.\n',
      ])
    })

    it('answers 1 for an unknown token and 2 to what are no addresses', async () => {
      expect((await run('allowed-ips', UNKNOWN, '--check', '192.0.2.1')).code).to.equal(1)
      for (const args of [[token.id], [token.id, '--check', ','], [token.id, '--check', '192.0.2.1/24'], []])
        expect((await run('allowed-ips', ...args)).code, args.slice(1).join(' ')).to.equal(2)
      const says = async (...args: string[]) => (await run('allowed-ips', token.id, ...args)).stderr
      expect(await says()).to.match(/^--check is missing: it names the addresses\.\n/)
      expect(await says('--check', ',')).to.match(/^--check must have 1 to 100 addresses or CIDR blocks\.\n/)
      expect(await says('--check', '192.0.2.1,192.0.2.1/24')).to.match(
        /^--check: address 2 must be an address or /,
      )
    })
  })

  describe('in the end', () => {
    it('did not disturb the service', async () => {
      expect(await apiOf(service.url).use(token.token)).to.equal(200)
      const faults = service.output().match(/"level":(?:40|50|60).*/g) ?? []
      expect(faults.filter((line) => !line.includes('a secret of a token was found'))).to.deep.equal([])
    })
  })
})
