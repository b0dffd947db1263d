import { readdir, readFile, stat } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import { codeOf, cookieOf, exchange } from '../support/callers/portal.ts'
import { run } from '../support/project/package.ts'
import {
  endServices,
  type Environment,
  failingService,
  MAIN,
  ownFolder,
  startService,
} from '../support/processes/service.ts'

const NO_KEYS: Environment = { JWT_SECRET: undefined, TOKEN_PEPPERS: undefined }

/** The commands that a newcomer copies. */
const curlsOf = (output: string): string[] => output.split('\n').filter((line) => line.startsWith('curl '))

const bash = async (command: string, env = ''): Promise<string> => {
  const ended = await run('bash', ['-c', `${env}\n${command}`], '/')
  expect(ended.code, ended.stderr).to.equal(0)
  return ended.stdout
}

describe('the first run', () => {
  afterEach(endServices)

  it('without keys makes its own, only for the owner, and prints them nowhere', async () => {
    // The file must be private, whatever the shell's umask allows.
    const command = ['bash', '-c', 'umask 0; exec "$0" "$1"', process.execPath, MAIN]
    const service = await startService({ ...NO_KEYS, LOG_LEVEL: 'trace' }, undefined, command)
    const file = join(service.folder, 'data/dev-secrets.json')
    expect((await stat(file)).mode & 0o777).to.equal(0o600)
    const secrets: Record<string, string> = JSON.parse(await readFile(file, 'utf8'))
    for (const secret of Object.values(secrets)) expect(service.output()).to.not.include(secret)
    const warned = () =>
      service
        .output()
        .split('\n')
        .filter((line) => line.includes('TOKEN_PEPPERS is not set'))
    expect(warned().map((line) => JSON.parse(line))).to.have.lengthOf(1)
    expect(warned()[0]).to.include(file).and.include('"level":40')
  })

  it('prints a link that opens the page, once, to which / leads', async () => {
    const service = await startService(NO_KEYS)
    const [link = ''] = /^http:\S+\/tokens#code=\S+$/m.exec(service.output()) ?? []
    const open = () => exchange(service.url, codeOf(link))
    const opened = await open()
    expect(opened.status).to.equal(204)
    const headers = { cookie: cookieOf(opened) }
    const session = await fetch(`${service.url}/tokens/api/session`, { headers })
    expect(await session.json()).to.include({ account_id: 'acct_1', can_write: true })
    expect((await open()).status).to.equal(409)
    const home = await fetch(service.url)
    expect(home.url).to.equal(`${service.url}/tokens`)
    expect(home.headers.get('content-type')).to.equal('text/html; charset=utf-8')
  })

  for (const LOG_LEVEL of ['silent', 'info']) {
    it(`prints two curls at LOG_LEVEL=${LOG_LEVEL}: the first creates a token, the second uses it`, async () => {
      const service = await startService({ ...NO_KEYS, LOG_LEVEL })
      const [create = '', use = '', ...more] = curlsOf(service.output())
      expect(more).to.deep.equal([])
      // A newcomer may well run them twice.
      for (const _ of ['the first time', 'once more']) {
        const created: { token: string; name: string } = JSON.parse(await bash(create))
        expect(created.name).to.equal('my first token')
        const answer = await bash(use, `TOKEN='${created.token}'`)
        expect(answer).to.match(/^HTTP\/1\.1 200 /)
        expect(answer).to.match(/^X-Account-Id: acct_1\r$/m)
        expect(service.output()).to.not.include(created.token)
      }
    })
  }

  it('keeps its keys and its tokens through a restart', async () => {
    const first = await startService(NO_KEYS)
    const secrets = join(first.folder, 'data/dev-secrets.json')
    const before = await readFile(secrets, 'utf8')
    const { token } = JSON.parse(await bash(curlsOf(first.output())[0] ?? ''))
    expect(await first.stop()).to.equal(0)

    const second = await startService(NO_KEYS, first.folder)
    expect(await readFile(secrets, 'utf8')).to.equal(before)
    const [create = '', use = ''] = curlsOf(second.output())
    expect(await bash(use, `TOKEN='${token}'`)).to.match(/^HTTP\/1\.1 200 /)
    expect(JSON.parse(await bash(create))).to.have.property('token')
  })

  it('with keys of its own prints no curl and makes no secrets', async () => {
    const service = await startService()
    expect(curlsOf(service.output())).to.deep.equal([])
    expect(await readdir(join(service.folder, 'data'))).to.not.include('dev-secrets.json')
  })
})

describe('a start that cannot be', () => {
  afterEach(endServices)

  it('in production without keys names both, and leaves nothing on disk', async () => {
    const folder = await ownFolder()
    const { code, stdout, stderr } = await failingService({ ...NO_KEYS, NODE_ENV: 'production' }, folder)
    expect(code).to.equal(1)
    expect(stderr).to.include('JWT_SECRET').and.include('JWT_PUBLIC_KEY_FILE').and.include('TOKEN_PEPPERS')
    expect(stdout).to.equal('')
    expect(await readdir(folder)).to.deep.equal([])
  })

  it('without a pepper that others of a server can know names it, and leaves nothing on disk', async () => {
    const folder = await ownFolder()
    const env = { ...NO_KEYS, READ_MODEL_URL: 'mongodb://user:hunter2@db.example/tokens' }
    const { code, stdout, stderr } = await failingService(env, folder)
    expect(code).to.equal(1)
    expect(stderr).to.include('TOKEN_PEPPERS').and.include('READ_MODEL_URL')
    expect(stderr).not.to.include('hunter2')
    expect(stdout).to.equal('')
    expect(await readdir(folder)).to.deep.equal([])
  })

  it('with bad settings names every one of them at once, shows no value and leaves nothing on disk', async () => {
    const bad = {
      PORT: '70000',
      EVENT_STORE_URL: 'postgres://user:hunter2@db',
      READ_MODEL_URL: 'redis://user:hunter3@db',
      JWT_SECRET: 'short-secret',
      TOKEN_PEPPERS: 'k1:c2hvcnQ=',
      TOKEN_PREFIX: 'Bad_Prefix',
      API_TOKEN_HEADER: 'Authorization',
      TOKEN_MAX_LIFETIME_DAYS: 'forever',
      MAX_TOKENS_PER_ACCOUNT: '-17',
      USAGE_FLUSH_MS: '1.5',
      AUDIT_MODE: 'sometimes',
      RATE_LIMIT_FAILURES_PER_MINUTE: 'many',
      RATE_LIMIT_WRITES_PER_MINUTE: '1e3',
      TRUST_PROXY_HOPS: 'yes',
      LOG_LEVEL: 'loud',
    }
    const folder = await ownFolder()
    const { code, stdout, stderr } = await failingService(bad, folder)
    expect(code).to.equal(1)
    const lines = stderr.split('\n')
    for (const [name, value] of Object.entries(bad)) {
      expect(
        lines.filter((line) => line.startsWith(`  - ${name} `)),
        name,
      ).to.have.lengthOf(1)
      // `Authorization` and the like are also words of the message, so only values that are unmistakable are looked
      // for.
      if (value !== 'Authorization') expect(stderr).to.not.include(value)
    }
    expect(stdout).to.equal('')
    expect(await readdir(folder)).to.deep.equal([])
  })

  it('on a port that is taken says so and ends with 1', async () => {
    const blocker = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => blocker.once('listening', resolve))
    try {
      const { port } = blocker.address() as AddressInfo
      const { code, stderr } = await failingService({ PORT: String(port) }, await ownFolder())
      expect(code).to.equal(1)
      expect(stderr)
        .to.include(`${port}`)
        .and.match(/in use/)
      expect(stderr.trim().split('\n'), 'one line, no stack').to.have.lengthOf(1)
    } finally {
      blocker.close()
    }
  })

  it('in a folder that cannot hold the data says which path', async () => {
    const { code, stderr } = await failingService(
      { EVENT_STORE_URL: 'sqlite:/dev/null/events.db' },
      await ownFolder(),
    )
    expect(code).to.equal(1)
    expect(stderr).to.include('/dev/null/events.db')
  })
})
