import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { blocksOf, documents, textOf } from '../support/project/documents.ts'
import { PEPPERS, SECRET } from '../support/processes/ledger.ts'
import { endServices, type ServiceProcess, startService } from '../support/processes/service.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const README = textOf('README.md')
const run = promisify(execFile)

/** Blocks that no test runs. Each of them says so behind its fence: `sh not run: <why>`. */
const LEFT_OUT = [
  'README.md: the service runs until you stop it, and the tests take minutes',
  'docs/http-api.md: it does not end',
  'docs/moving.md: it needs your PostgreSQL',
  'docs/moving.md: it needs your MongoDB',
  'docs/oauth.md: it needs the secret of a client',
  'docs/performance.md: measurements take minutes',
  'docs/retention.md: it needs the sqlite3 program, and a stopped service',
  'docs/retention.md: it needs an EventStoreDB',
  'docs/retention.md: it needs an EventStoreDB',
  'docs/running.md: it needs Docker',
  'docs/running.md: it needs Docker',
  'docs/running.md: it needs Docker',
  'docs/running.md: it needs Docker',
  'docs/running.md: it needs the sqlite3 program',
  'docs/running.md: it needs Docker',
  'docs/running.md: it needs Docker',
  'docs/schema.md: it needs the sqlite3 program',
  'docs/testing.md: it would run tests inside a test',
  'docs/testing.md: an attack builds the project and takes up to two minutes',
  'docs/testing.md: measurements take minutes',
  'docs/webhooks.md: it needs your receiver',
]

/** Documents whose blocks a reader may well run twice. */
const RUN_TWICE = ['README.md', 'docs/http-api.md']

/** What the output of the blocks of a document must contain. */
const PRINTED: Record<string, readonly RegExp[]> = {
  'README.md': [
    /X-Token-Scopes: orders:read/,
    /"total":\{"requests":1,.*"code":"unauthorized".*"total":\{"requests":1,.*"code":"unauthorized"/s,
    /TokenRevoked .* reason "first run"/,
  ],
  'docs/http-api.md': [
    /"name":"CI deploy, production"/,
    /"total":\{"requests":3,.*"total":\{"requests":3,/s,
    /"status":"revoked"/,
    /Idempotency-Replayed: true/,
    /"code":"validation_failed"/,
  ],
  'docs/analysts.md': [
    /Never used, oldest first \(\d+\)[\s\S]*nobody uses this/,
    /never_used,[0-9a-f-]{36},acct_1,active,.*,nobody uses this,,,\r?\n/,
    /On GET \/orders|On \/orders/,
    /^ +1 .* 1 accepted +GET +\/orders$/m,
    /Where tokens are managed\n.*\n +1 .* 1 4xx +GET +\/settings\/api-tokens\/:id$/m,
    /^tokenledger_usage_lost_total 0$/m,
  ],
  'docs/auditors.md': [
    /No revoked token and no retired secret was accepted\./,
    /No link is broken\./,
    /The log holds the \d+ events? of the checkpoint[\s\S]*The log holds the \d+ events? of the checkpoint/,
    /is refused: at revision \d the token is revoked/,
  ],
  'docs/operating.md': [/import-tokens/, /"status":"ready"/, /^tokenledger_projector_lag_seconds /m],
}

const shellOf = (path: string): string[] =>
  blocksOf(textOf(path))
    .filter(({ info }) => info === 'sh')
    .map(({ text }) => text)

describe('the documents', () => {
  let service: ServiceProcess
  before(async () => {
    // The documents wait for two seconds, which is enough for the second of the default on a machine that is not busy.
    service = await startService({ USAGE_FLUSH_MS: '100' })
    const { privateKey } = generateKeyPairSync('ed25519')
    writeFileSync(keyFile(service), privateKey.export({ type: 'pkcs8', format: 'pem' }))
  })
  after(endServices)

  // Those of an example are about its own app: the test of the examples runs them.
  const ofService = documents.filter((path) => !path.startsWith('docs/examples/') && shellOf(path).length > 0)
  for (const path of ofService) {
    it(`${path} holds no shell command that does not work`, async function () {
      this.timeout(180_000)
      const stdout = await runBlocks(shellOf(path), RUN_TWICE.includes(path) ? 2 : 1, service)
      for (const pattern of PRINTED[path] ?? []) expect(stdout).to.match(pattern)
    })
  }

  it('say what kind of text each block is, and why a shell block is not run', () => {
    const found = documents.flatMap((path) => blocksOf(textOf(path)).map(({ info }) => ({ path, info })))
    const unclear = found.filter(({ info }) => !/^(sh|sh not run: .+|text|ts|js|sql)$/.test(info))
    expect(unclear).to.deep.equal([])
    const leftOut = found.flatMap(({ path, info }) => {
      const [, why] = /^sh not run: (.+)$/.exec(info) ?? []
      return why === undefined ? [] : [`${path}: ${why}`]
    })
    expect(leftOut).to.deep.equal(LEFT_OUT)
  })

  it('have blocks to run where something is looked for in what they print', () => {
    for (const path of [...Object.keys(PRINTED), ...RUN_TWICE]) expect(shellOf(path), path).to.not.be.empty
  })

  it('never use a fixed Idempotency-Key, or a curl that hides what is wrong', () => {
    for (const path of documents) {
      const shell = shellOf(path).join('\n')
      expect(shell, path).to.not.match(/Idempotency-Key: (?!\$)/)
      expect(shell, path).to.not.match(/curl\b[^\n|]* (-\w*f\w*|--fail)(\s|$)/)
    }
  })
})

describe('the README', () => {
  it('says the two commands literally at its top', () => {
    expect(README.slice(0, 1000))
      .to.contain('\nnpm ci && npm start\n')
      .and.to.contain('\nnpm ci && npm test\n')
  })

  it('is short', () => {
    expect(Buffer.byteLength(README)).to.be.at.most(12_000)
  })
})

describe('the page of guarantees', () => {
  const page = textOf('docs/guarantees.md')

  it('names only tests that exist', () => {
    const named = [...new Set(page.match(/(test|scripts)\/[\w/-]+(\.\w+)*\.ts/g))]
    expect(named.length).to.be.greaterThan(30)
    for (const file of named) expect(() => readFileSync(`${ROOT}${file}`), file).not.to.throw()
  })

  it('names every attack that exists, and no other', () => {
    const named = new Set([...page.matchAll(/attack `([\w-]+)`/g)].map(([, name]) => name))
    const existing = readdirSync(`${ROOT}scripts/attack`)
      .map((file) => file.replace(/\.ts$/, ''))
      .filter((name) => !['lab', 'main'].includes(name))
    expect([...named]).to.have.members(existing)
  })
})

const keyFile = ({ folder }: ServiceProcess): string => `${folder}/audit-key.pem`

/** Runs shell blocks one after the other in one shell, against a service. @returns what they print */
async function runBlocks(blocks: string[], times: number, service: ServiceProcess): Promise<string> {
  const once = blocks.join('\n').replaceAll('http://127.0.0.1:3000', service.url)
  const script = `${once}\n`.repeat(times)
  const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', script], {
    cwd: ROOT,
    env: {
      ...process.env,
      JWT_SECRET: SECRET,
      TOKEN_PEPPERS: PEPPERS,
      EVENT_STORE_URL: `sqlite:${service.folder}/data/events.db`,
      READ_MODEL_URL: `sqlite:${service.folder}/data/read-model.db`,
      AUDIT_KEY_FILE: keyFile(service),
    },
  })
  expect(stdout).not.to.match(/tkl_[0-9A-Za-z]{49}/)
  return stdout
}
