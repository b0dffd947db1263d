import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { apiOf, type CreatedToken, type HistoryRow } from '../support/callers/api.ts'
import { cli, type CliResult } from '../support/processes/cli.ts'
import { jwtFor } from '../support/processes/ledger.ts'
import { freePort } from '../support/processes/ports.ts'
import { endServices, type ServiceProcess, startService } from '../support/processes/service.ts'

interface Row {
  line?: number
  id: string | null
  why: string | null
}

describe('tokenledger tokens, beside a live service', () => {
  let service: ServiceProcess
  const printed: string[] = []
  const secrets: string[] = []

  before(async () => {
    service = await startService()
  })
  after(async () => {
    await endServices()
    for (const secret of secrets) expect(printed.join('')).not.to.contain(secret)
  })

  async function run(args: readonly string[], env = {}): Promise<CliResult> {
    const result = await cli(['tokens', ...args], service.folder, env)
    printed.push(result.stdout, result.stderr)
    return result
  }
  const at = (): string[] => ['--url', service.url]
  const rowsOf = async (args: readonly string[], code = 0): Promise<Row[]> => {
    const { stdout, stderr, code: ended } = await run([...args, ...at(), '--json'])
    expect(ended, stderr).to.equal(code)
    return (JSON.parse(stdout) as { data: Row[] }).data
  }

  async function create(name: string, account = 'acct_1'): Promise<CreatedToken> {
    const { body } = await apiOf(service.url, account).create({ name })
    secrets.push(body.token)
    return body
  }
  const statusOf = async ({ id }: CreatedToken, account = 'acct_1') =>
    (await apiOf(service.url, account).read(id)).body.status
  const fileOf = async (name: string, text: string): Promise<string> => {
    await writeFile(join(service.folder, name), text)
    return name
  }

  it('lists the tokens of all accounts as a table, with filters, and as JSON', async () => {
    const [one, two] = [await create('listed one'), await create('listed two', 'acct_2')]
    const { stdout, code } = await run(['list', '--q', 'listed', '--sort', 'name', ...at()])
    expect(code).to.equal(0)
    const [head, ...rows] = stdout.trim().split('\n')
    expect(head).to.match(/^id +account +name +hint +status +last used +expires$/)
    expect(rows[0]).to.contain(one.id).and.to.contain('acct_1')
    expect(rows[1]).to.contain(two.id).and.to.contain('acct_2')
    expect(
      (await rowsOf(['list', '--account', 'acct_2', '--q', 'listed'])).map(({ id }) => id),
    ).to.deep.equal([two.id])
    const cut = await run(['list', '--q', 'listed', '--limit', '1', ...at()])
    expect([cut.stdout.trim().split('\n').length, cut.stderr]).to.deep.equal([
      2,
      'There are more than 1: raise --limit, or narrow the list down by filters.\n',
    ])
    expect(await rowsOf(['list', '--q', 'nowhere'], 1)).to.deep.equal([])
  })

  it('lists those that need a look', async () => {
    const soon = { name: 'look soon', expires_at: new Date(Date.now() + 86_400_000).toISOString() }
    const { id } = (await apiOf(service.url, 'acct_look').create(soon)).body
    const never = await create('look never', 'acct_look')
    const idsOf = async (...picked: string[]) =>
      (
        await rowsOf(['list', '--account', 'acct_look', ...picked], picked[0] === '--unused-days' ? 1 : 0)
      ).map((row) => row.id)
    expect(await idsOf('--expiring-days', '2')).to.deep.equal([id])
    expect(await idsOf('--never-expires')).to.deep.equal([never.id])
    expect(await idsOf('--unused-days', '1')).to.deep.equal([])
  })

  it('lists more than one page', async () => {
    const api = apiOf(service.url, 'acct_many')
    for (let i = 0; i < 99; i++) await api.create({ name: `paged ${i}` })
    await apiOf(service.url, 'acct_more').create({ name: 'paged 99' })
    await apiOf(service.url, 'acct_more').create({ name: 'paged 100' })
    const rows = await rowsOf(['list', '--q', 'paged', '--limit', '1000'])
    expect(new Set(rows.map(({ id }) => id)).size).to.equal(101)
  })

  it('shows one token with its use and its history', async () => {
    const token = await create('shown')
    const { stdout, code } = await run(['show', token.id, ...at()])
    expect(code).to.equal(0)
    expect(stdout)
      .to.contain('shown')
      .and.to.match(/0 uses since/)
      .and.to.contain('TokenCreated')
    const asJson = await run(['show', token.id, '--json', ...at()])
    expect(JSON.parse(asJson.stdout)).to.have.all.keys('token', 'usage', 'events')
    expect((await run(['show', '01890000-0000-7000-8000-000000000000', ...at()])).code).to.equal(1)
  })

  it('revokes by ids, with the reason and the user of this machine in the history', async () => {
    const [a, b] = [await create('a'), await create('b', 'acct_2')]
    const dry = await rowsOf(['revoke', a.id, b.id, '--reason', 'left', '--dry-run'])
    expect(dry.map(({ id, why }) => [id, why])).to.deep.equal([
      [a.id, 'dry_run'],
      [b.id, 'dry_run'],
    ])
    expect(await statusOf(a)).to.equal('active')
    const { stdout, code } = await run(['revoke', a.id, b.id, '--reason', 'left', ...at()])
    expect([code, stdout.match(/ revoked\n/g)?.length]).to.deep.equal([0, 2])
    expect(await statusOf(b, 'acct_2')).to.equal('revoked')
    const { data } = (await apiOf(service.url).events(a.id)).body
    const last = data.at(-1) as HistoryRow & { actor: object }
    expect(last.data).to.deep.equal({ reason: 'left' })
    expect(last.actor).to.deep.equal({ kind: 'operator', id: userInfo().username })
    expect((await run(['revoke', a.id, '--reason', 'again', ...at()])).stdout).to.contain('revoked before')
  })

  it('revokes by a file of secrets, and says by lines what became of each', async () => {
    const [a, b] = [await create('leaked a'), await create('leaked b', 'acct_2')]
    secrets.push('not-one-of-ours-but-secret')
    const list = await fileOf('leaked.txt', `${a.token}\nnot-one-of-ours-but-secret\n${b.token}\n`)
    const dry = await run(['revoke', '--from-file', list, '--reason', 'leak', '--dry-run', '--json', ...at()])
    const { data, unknown_lines: unknown } = JSON.parse(dry.stdout) as {
      data: Row[]
      unknown_lines: number[]
    }
    expect([dry.code, unknown]).to.deep.equal([1, [2]])
    expect(data.map(({ line, id, why }) => [line, id, why])).to.deep.equal([
      [1, a.id, 'dry_run'],
      [3, b.id, 'dry_run'],
    ])
    const text = await fileOf('leaked.md', `# found here\nTOKEN=${a.token} # a\nand ${b.token}`)
    const { stdout, code } = await run(['revoke', '--from-file', text, '--reason', 'leak', ...at()])
    expect(code).to.equal(0)
    expect(stdout).to.match(/^line +id .*\n +2 .* revoked\n +3 .* revoked\n$/)
    expect(await statusOf(a)).to.equal('revoked')
  })

  it('passes over no line of a file that may have a secret', async () => {
    const token = await create('beside others')
    const cut = token.token.slice(0, -3)
    secrets.push('secret-of-nobody-here', cut)
    const found = await fileOf('mixed.txt', `secret-of-nobody-here # prod\n${token.token}\nTOKEN=${cut} x\n`)
    const { stdout, code } = await run(['revoke', '--from-file', found, '--reason', 'leak', ...at()])
    expect(code).to.equal(1)
    expect(stdout).to.match(
      /\n +2 .* revoked\n +3 .* not found\n1 line has what may be a secret, of which none was found: 1\n$/,
    )
  })

  it('revokes all of an account', async () => {
    const tokens = [await create('x', 'acct_9'), await create('y', 'acct_9')]
    await rowsOf(['revoke', '--account', 'acct_9', '--reason', 'left'])
    for (const token of tokens) expect(await statusOf(token, 'acct_9')).to.equal('revoked')
    const again = await run(['revoke', '--account', 'acct_9', '--reason', 'left', ...at()])
    expect([again.code, again.stdout]).to.deep.equal([0, 'There is nothing to revoke.\n'])
  })

  it('takes the JWT of an operator from a file, and says so where it is none', async () => {
    const good = await fileOf('good.jwt', `${jwtFor('ann', { scope: 'tokenledger:operator' })}\n`)
    const poor = await fileOf('poor.jwt', jwtFor('ann'))
    const bad = await fileOf('bad.jwt', 'x.y.z')
    const list = (jwtFile: string) => run(['list', '--jwt-file', jwtFile, ...at()], { JWT_SECRET: undefined })
    expect((await list(good)).code).to.equal(0)
    expect(await list(poor)).to.include({ code: 3, stdout: '' })
    expect(await list(bad)).to.include({ code: 3, stderr: 'The service does not accept this JWT.\n' })
    expect((await list('nothing.jwt')).code).to.equal(2)
    const two = await list(await fileOf('two.jwt', 'sentinel.a.b\nsentinel.c.d\n'))
    expect(two).to.deep.include({ code: 2, stdout: '' })
    expect(two.stderr).to.match(/^--jwt-file names a file that is no JWT\.\n/)
    const none = await run(['list', ...at()], {
      JWT_SECRET: undefined,
      NODE_ENV: 'production',
      JWT_ISSUER: 'https://x',
    })
    expect(none.code).to.equal(2)
  })

  it('asks where HOST and PORT say, and never sends a JWT without TLS', async () => {
    const { hostname, port } = new URL(service.url)
    expect((await run(['list'], { HOST: hostname, PORT: port })).code).to.equal(0)
    expect((await run(['list'], { HOST: '0.0.0.0', PORT: port })).code).to.equal(0)
    for (const url of ['http://tokens.example.com', 'http://10.0.0.1:3000', 'ftp://127.0.0.1', 'nothing'])
      expect((await run(['list', '--url', url])).code, url).to.equal(2)
    const away = await run(['list', '--url', `http://127.0.0.1:${await freePort()}`])
    expect([away.code, away.stdout]).to.deep.equal([3, ''])
    expect(away.stderr).to.match(
      /^The service does not answer at http:\/\/127\.0\.0\.1:\d+: ECONNREFUSED\.\n$/,
    )
  })

  it('says so where something else answers than the service', async () => {
    for (const status of [200, 404, 422]) {
      const other = createServer((_, response) => response.writeHead(status).end('<html>sentinel</html>'))
      await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
      const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
      const { code, stdout, stderr } = await run(['list', '--url', url])
      expect([code, stdout], String(status)).to.deep.equal([3, ''])
      expect(stderr).not.to.contain('sentinel')
      other.close()
    }
  })

  it('takes more ids than one request does', async () => {
    const ids = Array.from(
      { length: 1_001 },
      (_, i) => `01890000-0000-7000-8000-${String(i).padStart(12, '0')}`,
    )
    const rows = await rowsOf(['revoke', ...ids, '--reason', 'x', '--dry-run'], 1)
    expect(rows.map(({ why }) => why)).to.deep.equal(ids.map(() => 'not_found'))
  })

  it('answers 2 to what it cannot take, and repeats no value', async () => {
    const id = '01890000-0000-7000-8000-000000000000'
    const empty = await fileOf('empty.txt', 'no secret in here\n')
    const wrong: string[][] = [
      [],
      ['dance'],
      ['list', 'surplus'],
      ['list', '--limit', '0'],
      ['list', '--status', 'odd'],
      ['list', '--unused-days', 'odd'],
      ['show'],
      ['show', 'sentinel'],
      ['show', id, id],
      ['revoke', id],
      ['revoke', '--reason', 'x'],
      ['revoke', 'sentinel', '--reason', 'x'],
      ['revoke', id, '--account', 'a', '--reason', 'x'],
      ['revoke', id, '--reason', 'x'.repeat(201)],
      ['revoke', '--from-file', 'sentinel.txt', '--reason', 'x'],
      ['revoke', '--from-file', empty, '--reason', 'x'],
    ]
    for (const args of wrong) {
      const { code, stdout, stderr } = await run([...args, ...at()])
      expect([code, stdout], args.join(' ')).to.deep.equal([2, ''])
      expect(stderr, args.join(' ')).not.to.contain('sentinel')
    }
  })
})
