import { hash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { expect } from 'chai'
import { cli } from '../support/processes/cli.ts'
import { PEPPERS, SECRET } from '../support/processes/ledger.ts'
import { freePort } from '../support/processes/ports.ts'
import { endServices, ownFolder } from '../support/processes/service.ts'

const UNKNOWN = '01a20813-a0b7-7734-878d-269fb727386e'
const COMMANDS = [
  'jwt',
  'history',
  'explain',
  'usage',
  'allowed-ips',
  'audit',
  'verify',
  'checkpoint',
  'export',
  'import',
  'read-model',
  'webhooks',
  'doctor',
]
const ARGUMENTS: Record<string, string[]> = {
  history: [UNKNOWN],
  explain: [UNKNOWN, '2026-11-02T10:00:00Z'],
  audit: ['decisions'],
  verify: ['--chain'],
  usage: ['--token', UNKNOWN],
  'allowed-ips': [UNKNOWN, '--check', '192.0.2.1'],
  import: ['events.ndjson'],
  'read-model': ['--path'],
}

describe('tokenledger, without any data', () => {
  let folder: string
  const run = (args: readonly string[], env = {}) => cli(args, folder, env)

  beforeEach(async () => {
    folder = await ownFolder()
  })

  // This must hold whatever command was run.
  afterEach(async () => {
    expect(await readdir(folder)).to.deep.equal([])
    await endServices()
  })

  for (const name of COMMANDS) {
    it(`${name} --help explains it, and needs no settings`, async () => {
      const { code, stdout } = await run([name, '--help'], { PORT: 'none' })
      expect(code).to.equal(0)
      expect(stdout).to.contain(`Usage: tokenledger ${name}`).and.contain('--json')
    })

    it(`${name} answers 2 to an option it does not know, and to settings that are not usable`, async () => {
      expect((await run([name, '--colour'])).code).to.equal(2)
      const { code, stderr } = await run([name, ...(ARGUMENTS[name] ?? [])], {
        PORT: 'none',
        AUDIT_MODE: 'lax',
      })
      expect(code).to.equal(2)
      expect(stderr).to.contain('PORT').and.contain('AUDIT_MODE')
    })
  }

  it('answers 2 to a command it does not know, and to none', async () => {
    for (const args of [['dance'], []]) {
      const { code, stdout, stderr } = await run(args)
      expect([code, stdout]).to.deep.equal([2, ''])
      for (const name of COMMANDS) expect(stderr).to.contain(name)
    }
  })

  it('page prints a link for the account, and none in production', async () => {
    const env = { TOKEN_PEPPERS: PEPPERS, PORT: '4444' }
    const { code, stdout } = await run(['page', '--account', 'acct_7', '--read-only', '--json'], env)
    expect(code).to.equal(0)
    const made = JSON.parse(stdout) as { url: string }
    expect(made).to.include({ account_id: 'acct_7' })
    expect(made.url).to.match(/^http:\/\/127\.0\.0\.1:4444\/tokens#code=k1\.[\w-]+$/)
    expect((await run(['page', '--account', ''], env)).code).to.equal(2)
    expect((await run(['page'], { ...env, NODE_ENV: 'production', JWT_SECRET: SECRET })).code).to.equal(2)
  })

  it('makes the secret of an OAuth client, of which the service needs only the hash', async () => {
    const { code, stdout } = await run(['oauth-client', 'gateway', '--json'])
    expect(code).to.equal(0)
    const { id, secret, sha256 } = JSON.parse(stdout) as Record<string, string>
    expect(id).to.equal('gateway')
    expect(Buffer.from(secret ?? '', 'base64url')).to.have.lengthOf(32)
    expect(sha256).to.equal(hash('sha256', secret ?? ''))
    const { stdout: shown } = await run(['oauth-client', 'gateway'])
    expect(shown)
      .to.match(/\n[\w-]{43}\n/)
      .and.to.match(/\n"gateway": "[0-9a-f]{64}"\n/)
    for (const args of [[], ['two words'], ['a', 'b']])
      expect((await run(['oauth-client', ...args])).code, args.join(' ')).to.equal(2)
  })

  it('says of a store in memory that nobody but its process can see it, and makes none', async () => {
    const file = new URL(import.meta.url).pathname
    const commands = ['rebuild', 'report', 'blast-radius', 'import-tokens', ...COMMANDS]
    const arguments_ = { ...ARGUMENTS, import: [file], 'import-tokens': [file], 'blast-radius': [UNKNOWN] }
    const memory = { EVENT_STORE_URL: 'sqlite::memory:', READ_MODEL_URL: 'sqlite::memory:' }
    for (const name of commands) {
      const args = [name, ...((arguments_ as Record<string, string[]>)[name] ?? [])]
      const { code, stdout, stderr } = await run(args, { ...memory, JWT_SECRET: undefined })
      expect([code, stdout], args.join(' ')).to.deep.equal([2, ''])
      expect(stderr, args.join(' ')).to.contain('EVENT_STORE_URL').and.to.contain('no other process can see')
    }
    expect((await run(['jwt'], memory)).code, 'with a secret that both know').to.equal(0)
  })

  it('ends where nobody listens at the address of the event store, and says so', async () => {
    const away = { EVENT_STORE_URL: `esdb://127.0.0.1:${await freePort()}?tls=false` }
    const readers = ['history', 'explain', 'audit', 'verify', 'checkpoint', 'export', 'doctor']
    for (const args of [...readers.map((name) => [name, ...(ARGUMENTS[name] ?? [])]), ['verify']]) {
      const { code, stdout, stderr } = await run(args, away)
      expect(code, args.join(' ')).to.equal(args[0] === 'doctor' ? 1 : 3)
      expect(stdout + stderr, args.join(' ')).to.match(/No connection established|no read model yet/)
    }
  })

  it('says what is missing where there is no database yet, and makes none', async () => {
    const readers = ['history', 'explain', 'audit', 'verify', 'checkpoint', 'export', 'doctor']
    const asked = readers.map((name) => [name, ...(ARGUMENTS[name] ?? [])])
    for (const args of [...asked, ['usage', '--account', 'acct_1'], ['read-model', '--path']]) {
      const { code, stdout, stderr } = await run(args)
      expect(code, 'that there is none is a finding of the doctor').to.equal(args[0] === 'doctor' ? 1 : 3)
      expect(stdout + stderr).to.match(/There is no (event store|read model) yet at \.\/data/)
    }
  })
})
