import { spawn } from 'node:child_process'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { openEventStoreDb } from '../../src/adapters/eventstoredb/eventStore.ts'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import { apiOf } from '../support/callers/api.ts'
import { CLI, cli, type CliResult } from '../support/processes/cli.ts'
import { eventually } from '../support/suite/eventually.ts'
import { type Fleet, startFleet } from '../support/processes/fleet.ts'
import { PEPPERS, SECRET } from '../support/processes/ledger.ts'
import { describeWithMongod } from '../support/stores/mongod.ts'
import { fileOfRows, oldRow, oldToken, UUID_OF_ROW } from '../support/events/oldTable.ts'
import { type Environment, endServices, ownFolder, startService } from '../support/processes/service.ts'

const ACCEPT = { ACCEPT_LEGACY_TOKENS: 'true' }
const rowsTo = (count: number): string =>
  fileOfRows(Array.from({ length: count }, (_, i) => oldRow(i + 1, { account_id: `acct_${i % 7}` })))

const reportOf = ({ code, stdout, stderr }: CliResult): Record<string, unknown> => {
  expect(code, stderr).to.equal(0)
  return JSON.parse(stdout)
}

/** Kills an import once it has written something. @returns how many rows it had written by then */
async function killed(folder: string, env: Environment, open: () => Promise<EventStore>): Promise<number> {
  const child = spawn(process.execPath, [CLI, 'import-tokens', 'rows.ndjson'], {
    cwd: folder,
    env: { PATH: process.env.PATH, JWT_SECRET: SECRET, TOKEN_PEPPERS: PEPPERS, ...env },
    stdio: 'ignore',
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  // Before the store exists, nothing can be counted.
  const before = await importedIn(open).catch(() => 0)
  await eventually(async () => expect(await importedIn(open)).to.be.above(before))
  child.kill('SIGKILL')
  await ended
  return importedIn(open)
}

async function headOf(open: () => Promise<EventStore>): Promise<string | null> {
  const store = await open()
  try {
    return await store.head()
  } finally {
    await store.close()
  }
}

async function importedIn(open: () => Promise<EventStore>): Promise<number> {
  const store = await open()
  try {
    let count = 0
    for await (const events of store.readAll(null)) {
      count += events.filter(({ type }) => type === 'TokenImported').length
    }
    return count
  } finally {
    await store.close()
  }
}

describe('tokenledger import-tokens, on SQLite', () => {
  let folder: string
  const inFolder = () => openSqliteEventStore(join(folder, 'data/events.db'), { readOnly: true })
  const run = (...args: string[]) => cli(['import-tokens', ...args], folder)
  const write = (text: string) => writeFile(join(folder, 'rows.ndjson'), text)

  beforeEach(async () => {
    folder = await ownFolder()
  })
  afterEach(endServices)

  it('gives a service the tokens of another, and changes nothing the second time', async () => {
    await write(fileOfRows([oldRow(1, { id: UUID_OF_ROW }), oldRow(2), oldRow(3, { account_id: 'acct_2' })]))
    expect((await run('rows.ndjson', '--dry-run')).stdout).to.equal(
      '3 rows, all good: 3 to import, 0 already there.\n',
    )
    expect(await readdir(folder)).to.deep.equal(['rows.ndjson'])
    expect((await run('rows.ndjson')).stdout).to.equal('3 rows: 3 imported, 0 already there.\n')
    const before = (await cli(['export'], folder)).stdout

    const service = await startService(ACCEPT, folder)
    const api = apiOf(service.url)
    expect(await api.use(oldToken(1))).to.equal(200)
    expect((await api.list()).body.data.map(({ name }) => name)).to.have.members([
      'old token 1',
      'old token 2',
    ])
    expect((await api.revoke(UUID_OF_ROW)).status).to.equal(204)
    expect(await api.use(oldToken(1))).to.equal(401)
    const beside = await run('rows.ndjson', '--dry-run', '--json')
    expect(reportOf(beside)).to.deep.equal({
      ok: true,
      dry_run: true,
      rows: 3,
      imported: 0,
      already_there: 3,
    })
    const running = await run('rows.ndjson')
    expect([running.code, running.stdout]).to.deep.equal([1, ''])
    expect(running.stderr).to.contain('Stop the service').and.contain('--dry-run')
    await service.stop()

    const again = await run('rows.ndjson', '--json')
    expect(reportOf(again)).to.deep.equal({
      ok: true,
      dry_run: false,
      rows: 3,
      imported: 0,
      already_there: 3,
    })
    expect(
      (await cli(['export'], folder)).stdout.startsWith(before.split('\n').slice(0, 3).join('\n')),
    ).to.equal(true)
    expect(await importedIn(inFolder)).to.equal(3)
    const other = await startService(ACCEPT, folder)
    expect(await apiOf(other.url).use(oldToken(1)), 'stays revoked').to.equal(401)
    expect(await apiOf(other.url).use(oldToken(2))).to.equal(200)
    const doctor = JSON.parse((await cli(['doctor', '--json'], folder, ACCEPT)).stdout)
    expect(doctor.checks.find(({ name }: { name: string }) => name === 'peppers')).to.include({
      status: 'ok',
      detail: 'in use: 2 imported tokens',
    })
    expect((await cli(['history', UUID_OF_ROW], folder)).stdout).to.match(
      /TokenImported +system import-tokens/,
    )
  })

  it('takes over what a token may do, from where, and what is written about it', async () => {
    const said = {
      scopes: ['orders:read'],
      description: 'Reads orders at night',
      metadata: { team: 'shop' },
      allowed_ips: ['127.0.0.0/8'],
    }
    const elsewhere = oldRow(2, { allowed_ips: ['::ffff:192.0.2.0/120'] })
    await write(fileOfRows([oldRow(1, { ...said, id: UUID_OF_ROW }), elsewhere]))
    const operators = await cli(['import-tokens', 'rows.ndjson'], folder, { OPERATOR_SCOPE: 'orders:read' })
    const catalogue = await cli(['import-tokens', 'rows.ndjson'], folder, { SCOPES: 'orders:write' })
    for (const { code, stderr } of [operators, catalogue])
      expect([code, stderr]).to.deep.equal([
        1,
        'Line 1: scopes/0 is not one of the scopes that tokens can have.\nNothing was imported.\n',
      ])
    expect((await run('rows.ndjson')).stdout).to.equal('2 rows: 2 imported, 0 already there.\n')
    expect((await run('rows.ndjson')).stdout).to.equal('2 rows: 0 imported, 2 already there.\n')

    const service = await startService(ACCEPT, folder)
    const api = apiOf(service.url)
    expect((await api.list()).body.data.find(({ id }) => id === UUID_OF_ROW)).to.deep.include(said)
    expect(await api.use(oldToken(1))).to.equal(200)
    expect(await api.use(oldToken(2))).to.equal(403)
    await service.stop()
    expect((await run('rows.ndjson')).stdout).to.equal('2 rows: 0 imported, 2 already there.\n')
  })

  it('takes nothing of a file with bad rows, and names them', async () => {
    await write(fileOfRows([oldRow(1), oldRow(2, { name: '' }), oldRow(3, { token: oldRow(1).token })]))
    const refused = await run('rows.ndjson')
    expect([refused.code, refused.stdout]).to.deep.equal([1, ''])
    expect(refused.stderr).to.equal(
      'Line 2: name must be 1 to 100 characters after trimming.\nLine 3: its token is that of line 1.\nNothing was imported.\n',
    )
    const asJson = await run('rows.ndjson', '--json')
    expect([asJson.code, asJson.stderr]).to.deep.equal([1, ''])
    expect(JSON.parse(asJson.stdout)).to.deep.include({ ok: false, more_problems: 0 })
    expect(JSON.parse(asJson.stdout).problems.map(({ line }: { line: number }) => line)).to.deep.equal([2, 3])
    expect(await readdir(folder)).to.deep.equal(['rows.ndjson'])
  })

  it('takes nothing of a file where a row is in the store with other data', async () => {
    await write(fileOfRows([oldRow(1)]))
    expect((await run('rows.ndjson')).code).to.equal(0)
    await write(fileOfRows([oldRow(5), oldRow(1, { name: 'another' })]))
    for (const options of [[], ['--dry-run']]) {
      const { code, stderr } = await run('rows.ndjson', ...options)
      expect(code).to.equal(1)
      expect(stderr).to.match(/^Line 2: the store has token [0-9a-f-]{36} with other data\.\nNothing/)
    }
    expect(await importedIn(inFolder)).to.equal(1)
  })

  it('answers 2 to wrong use, and 1 where there is nothing', async () => {
    await write('')
    const wrong = [[], ['.'], ['/dev/null'], ['none'], ['rows.ndjson', 'more'], ['rows.ndjson', '--unknown']]
    for (const args of wrong) expect((await run(...args)).code, args.join(' ')).to.equal(2)
    const empty = await run('rows.ndjson')
    expect(empty.code).to.equal(1)
    expect(empty.stderr).to.contain('There is no row')
    expect((await run('--help')).stdout).to.contain('ACCEPT_LEGACY_TOKENS')
    expect(await readdir(folder)).to.deep.equal(['rows.ndjson'])
  })

  it('goes on after a kill, and in the end has every row once', async () => {
    const count = 10_000
    await write(rowsTo(count))
    const left = await killed(folder, {}, inFolder)
    expect(left).to.be.within(1, count - 1)
    const more = await killed(folder, {}, inFolder)
    expect(more).to.be.within(left + 1, count - 1)
    const { imported, already_there } = reportOf(await run('rows.ndjson', '--json'))
    expect([imported, already_there]).to.deep.equal([count - more, more])
    const streams = (await cli(['export'], folder)).stdout.match(/"stream":"[^"]+"/g) ?? []
    expect([streams.length, new Set(streams).size]).to.deep.equal([count, count])
  })
})

describeWithMongod('tokenledger import-tokens, on EventStoreDB and MongoDB', () => {
  let fleet: Fleet
  let folder: string
  let env: Environment
  const open = () => openEventStoreDb(env.EVENT_STORE_URL ?? '', { readOnly: true })

  before(async () => {
    fleet = await startFleet(2, { env: { LOG_LEVEL: 'info', ...ACCEPT } })
    folder = await ownFolder()
    env = { EVENT_STORE_URL: `esdb://127.0.0.1:${fleet.eventStore.port}?tls=false` }
  })
  after(() => fleet.close())

  it('gives live services the tokens of another system, also after a kill', async () => {
    const count = 3000
    await writeFile(join(folder, 'rows.ndjson'), rowsTo(count))
    const left = await killed(folder, env, open)
    expect(left).to.be.within(1, count - 1)
    const { imported, already_there } = reportOf(
      await cli(['import-tokens', 'rows.ndjson', '--json'], folder, env),
    )
    // Events that were on their way to the server when the command was killed may have been stored after the count.
    expect(already_there).to.be.at.least(left)
    expect(Number(imported) + Number(already_there)).to.equal(count)
    expect(await importedIn(open)).to.equal(count)
    const head = await headOf(open)
    const again = reportOf(await cli(['import-tokens', 'rows.ndjson', '--json'], folder, env))
    expect(again.already_there).to.equal(count)
    expect(await headOf(open), 'nothing to write, nothing written').to.equal(head)

    for (const { api } of fleet.members) {
      await eventually(async () => {
        for (const n of [1, 1234, count]) expect(await api.use(oldToken(n))).to.equal(200)
      })
    }
    const [one, two] = fleet.members.map(({ service }) => apiOf(service.url, 'acct_0'))
    const { body } = await (one as NonNullable<typeof one>).list('?q=old+token+1&sort=name&limit=1')
    const [token] = body.data
    expect(token?.name).to.equal('old token 1')
    expect((await one?.revoke(token?.id ?? ''))?.status).to.equal(204)
    expect(await one?.use(oldToken(1))).to.equal(401)
    await eventually(async () => expect(await two?.use(oldToken(1))).to.equal(401))
  })
})
