import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
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

  /** Runs the shell commands of a document, one after the other. @returns what they print */
  async function follow(text: string): Promise<string> {
    const blocks = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block)
    expect(blocks.length).to.be.greaterThan(5)
    const script = blocks.join('\n').replaceAll('http://127.0.0.1:3000', service.url)
    const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', script], {
      cwd: ROOT,
      env: {
        ...process.env,
        JWT_SECRET: SECRET,
        TOKEN_PEPPERS: PEPPERS,
        EVENT_STORE_URL: `sqlite:${service.folder}/data/events.db`,
        READ_MODEL_URL: `sqlite:${service.folder}/data/read-model.db`,
      },
    })
    expect(stdout).not.to.match(/tkl_[0-9A-Za-z]{49}/)
    return stdout
  }

  it('holds no shell command that does not work', async function () {
    this.timeout(120_000)
    expect(await follow(README))
      .to.contain('"CI deploy, production"')
      .and.to.contain('TokenRevoked')
  })

  it('has an analyst’s guide that holds none either, and whose answers are there', async function () {
    this.timeout(120_000)
    const stdout = await follow(readFileSync(`${ROOT}docs/analysts.md`, 'utf8'))
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

  it('names only tests that exist', () => {
    const named = [...new Set(README.match(/test\/[\w/-]+(\.\w+)*\.ts/g))]
    expect(named.length).to.be.greaterThan(8)
    for (const file of named) expect(() => readFileSync(`${ROOT}${file}`), file).not.to.throw()
  })
})
