import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { PEPPERS, SECRET } from '../support/ledger.ts'
import { type ServiceProcess, startService } from '../support/service.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const README = readFileSync(`${ROOT}README.md`, 'utf8')
const run = promisify(execFile)

describe('the README', () => {
  let service: ServiceProcess
  before(async () => {
    service = await startService()
  })
  after(async () => {
    service.signal('SIGTERM')
    await service.exited
  })

  it('holds no shell command that does not work', async function () {
    this.timeout(120_000)
    const stdout = await runBlocks(README, 8, service)
    expect(stdout).to.contain('"CI deploy, production"').and.to.contain('TokenRevoked')
  })

  it('has an analyst’s guide that holds none either, and whose answers are there', async function () {
    this.timeout(120_000)
    const stdout = await runBlocks(readFileSync(`${ROOT}docs/analysts.md`, 'utf8'), 5, service)
    expect(stdout).to.match(/Never used, oldest first \(\d+\)[\s\S]*nobody uses this/)
    expect(stdout).to.match(/never_used,[0-9a-f-]{36},acct_1,active,.*,nobody uses this\r?\n/)
    expect(stdout).to.match(/On GET \/orders|On \/orders/)
    expect(stdout).to.match(/^ +1 .* 1 2xx +GET +\/orders$/m)
    expect(stdout).to.match(/Where tokens are managed\n.*\n +1 .* 1 4xx +GET +\/settings\/api-tokens\/:id$/m)
    expect(stdout).to.match(/^tokenledger_usage_lost_total 0$/m)
  })

  it('says the two commands literally at its top', () => {
    expect(README.slice(0, 1000))
      .to.contain('\nnpm ci && npm start\n')
      .and.to.contain('\nnpm ci && npm test\n')
  })
})

describe('the page of guarantees', () => {
  it('names only tests and attacks that exist', () => {
    const page = readFileSync(`${ROOT}docs/guarantees.md`, 'utf8')
    const named = [...new Set(page.match(/(test|scripts)\/[\w/-]+(\.\w+)*\.ts/g))]
    expect(named.length).to.be.greaterThan(30)
    for (const file of named) expect(() => readFileSync(`${ROOT}${file}`), file).not.to.throw()
  })
})

describe('the guide for auditors', () => {
  let service: ServiceProcess
  before(async () => {
    service = await startService()
  })
  after(async () => {
    service.signal('SIGTERM')
    await service.exited
  })

  it('holds no shell command that does not work, and tells what it promises', async function () {
    this.timeout(120_000)
    const key = `${service.folder}/audit-key.pem`
    const { privateKey } = generateKeyPairSync('ed25519')
    writeFileSync(key, privateKey.export({ type: 'pkcs8', format: 'pem' }))
    const guide = readFileSync(`${ROOT}docs/auditors.md`, 'utf8')
    const stdout = await runBlocks(guide, 6, service, { AUDIT_KEY_FILE: key })
    expect(stdout)
      .to.contain('No revoked token was accepted.')
      .and.contain('No link is broken.')
      .and.match(/The log holds the \d+ events? of the checkpoint/)
      .and.match(/is refused: at revision \d the token is revoked/)
  })
})

/** Runs the `sh` blocks of a text, one after the other in one shell, against a service. @returns what they print */
async function runBlocks(text: string, atLeast: number, service: ServiceProcess, env = {}): Promise<string> {
  const blocks = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block)
  expect(blocks.length).to.be.greaterThan(atLeast)
  const script = blocks.join('\n').replaceAll('http://127.0.0.1:3000', service.url)
  const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', script], {
    cwd: ROOT,
    env: {
      ...process.env,
      JWT_SECRET: SECRET,
      TOKEN_PEPPERS: PEPPERS,
      EVENT_STORE_URL: `sqlite:${service.folder}/data/events.db`,
      READ_MODEL_URL: `sqlite:${service.folder}/data/read-model.db`,
      ...env,
    },
  })
  expect(stdout).not.to.match(/tkl_[0-9A-Za-z]{49}/)
  return stdout
}
