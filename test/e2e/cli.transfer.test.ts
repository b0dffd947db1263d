import { spawn } from 'node:child_process'
import { copyFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { openDatabase } from '../../src/adapters/sqlite/database/database.ts'
import * as rows from '../../src/adapters/sqlite/log/eventRows.ts'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { link } from '../../src/domain/chain.ts'
import type { NewEvent } from '../../src/domain/events.ts'
import { usageStream } from '../../src/domain/streams.ts'
import { apiOf, type CreatedToken } from '../support/callers/api.ts'
import { CLI, cli, cliCutOff, type CliResult } from '../support/processes/cli.ts'
import { eventually } from '../support/suite/eventually.ts'
import { PEPPERS, SECRET } from '../support/processes/ledger.ts'
import { createWriter, fill, movableEvent, USAGE } from '../support/events/movable.ts'
import { endServices, ownFolder, type ServiceProcess, startService } from '../support/processes/service.ts'

interface Report {
  ok: boolean
  already_there: number
  file: { events: number; sha256: string }
  store: { events: number; sha256: string }
}

const reportOf = ({ code, stdout, stderr }: CliResult): Report => {
  expect(code, stderr).to.equal(0)
  return JSON.parse(stdout)
}

describe('tokenledger export and import, of a service that was used', () => {
  let service: ServiceProcess
  let tokens: CreatedToken[]
  let file: string

  /** What callers see of the tokens. */
  async function seen({ url }: ServiceProcess) {
    const api = apiOf(url)
    const events = await Promise.all(tokens.map(async ({ id }) => (await api.events(id)).body))
    const usage = await Promise.all(tokens.map(async ({ id }) => (await api.usage(id)).body.total))
    return { events, usage }
  }

  before(async () => {
    service = await startService({ USAGE_FLUSH_MS: '20' })
    const api = apiOf(service.url)
    tokens = []
    for (const name of ['CI', 'é 😀 "\\"', 'gone']) tokens.push((await api.create({ name })).body)
    await api.patch(tokens[0]?.id ?? '', { name: 'CI deploy' })
    for (const { token } of [...tokens, ...tokens]) expect(await api.use(token)).to.equal(200)
    await api.revoke(tokens[2]?.id ?? '')
    await eventually(async () => {
      for (const { id } of tokens) expect((await api.usage(id)).body.total.requests).to.equal(2)
    })
    file = join(service.folder, 'events.ndjson')
  })

  after(endServices)

  it('writes the same beside the live service, to a file of its owner alone and to standard output', async () => {
    const { code, stdout, stderr } = await cli(['export'], service.folder)
    expect(code, stderr).to.equal(0)
    const told = await cli(['export', '--out', file, '--json'], service.folder)
    const { events, sha256 } = JSON.parse(told.stdout)
    expect(await readFile(file, 'utf8')).to.equal(stdout)
    expect(stderr).to.equal(`${events} events, SHA-256 ${sha256}\n`)
    expect((await stat(file)).mode & 0o777).to.equal(0o600)
    expect((await readdir(service.folder)).sort()).to.deep.equal(['data', 'events.ndjson'])
    for (const { token } of tokens) expect(stdout).not.to.contain(token)
  })

  it('gives another service all of it: tokens, history, usage, and the same export', async () => {
    const folder = await ownFolder()
    const { ok, store, already_there } = reportOf(await cli(['import', file, '--json'], folder))
    expect([ok, already_there]).to.deep.equal([true, 0])
    expect((await readFile(file, 'utf8')).trimEnd().split('\n').at(-1)).to.equal(JSON.stringify(store))
    await cli(['export', '--out', 'again.ndjson'], folder)
    expect(await readFile(join(folder, 'again.ndjson'), 'utf8')).to.equal(await readFile(file, 'utf8'))

    const other = await startService({}, folder)
    expect(await seen(other)).to.deep.equal(await seen(service))
    const used = await Promise.all(tokens.map(({ token }) => apiOf(other.url).use(token)))
    expect(used).to.deep.equal([200, 200, 401])
    expect((await apiOf(other.url).create({ name: 'new' })).status).to.equal(201)
  })

  it('is refused while a service has the store, and by a store that a service has used', async () => {
    const folder = await ownFolder()
    const other = await startService({}, folder)
    const running = await cli(['import', file], folder)
    expect([running.code, running.stdout]).to.deep.equal([1, ''])
    expect(running.stderr).to.contain('in use')
    await apiOf(other.url).create({ name: 'mine' })
    await other.stop()
    const before = (await cli(['export'], folder)).stdout
    const refused = await cli(['import', file], folder)
    expect([refused.code, refused.stdout]).to.deep.equal([1, ''])
    expect(refused.stderr).to.contain('not empty')
    expect((await cli(['export'], folder)).stdout).to.equal(before)
  })

  it('refuses a file that was changed, cut, swapped or doubled before it makes a store', async () => {
    const bytes = await readFile(file)
    const lines = bytes.toString().split(/(?<=\n)/)
    const [first = '', second = ''] = lines
    const changed = Buffer.from(bytes)
    changed[bytes.indexOf('CI deploy')] = 'D'.charCodeAt(0)
    const files: Record<string, Buffer | string> = {
      changed,
      cut: bytes.subarray(0, -100),
      'cut at a line': lines.slice(0, -1).join(''),
      swapped: lines.with(0, second).with(1, first).join(''),
      doubled: lines.toSpliced(1, 0, first).join(''),
      'another file': '{"name": "tokenledger"}\n',
    }
    for (const [name, content] of Object.entries(files)) {
      const folder = await ownFolder()
      await writeFile(join(folder, 'bad.ndjson'), content)
      const { code, stdout, stderr } = await cli(['import', 'bad.ndjson', '--json'], folder)
      expect([code, stdout], name).to.deep.equal([1, ''])
      expect(stderr, name).to.match(/^(Line \d+: |The file is cut short)/)
      expect(await readdir(folder), name).to.deep.equal(['bad.ndjson'])
    }
  })

  it('answers 2 to wrong use, and 3 where there is no store to look at', async () => {
    const folder = await ownFolder()
    await mkdir(join(folder, 'directory'))
    const wrong = [
      ['export', '--json'],
      ['export', '--out', ''],
      ['export', '--out', 'directory'],
      ['export', '--out', '/dev/null'],
      ['export', 'surplus'],
      ['import'],
      ['import', 'one', 'two'],
      ['import', 'directory'],
      ['import', '/dev/null'],
      ['import', 'none'],
      ['import-tokens', 'none'],
    ]
    for (const args of wrong) expect((await cli(args, folder)).code, args.join(' ')).to.equal(2)
    for (const args of [['export'], ['export', '--out', 'file'], ['export', '--out', 'none/file']]) {
      const { code, stderr } = await cli(args, folder)
      expect(code, args.join(' ')).to.equal(3)
      expect(stderr).to.match(/^(There is no|--out names a file that cannot be written)/)
    }
    expect(await readdir(folder)).to.deep.equal(['directory'])
  })

  it('says of a usage stream that retention has shortened that it can be exported only', async () => {
    const folder = await ownFolder()
    const path = join(folder, 'data/events.db')
    await (await openSqliteEventStore(path)).close()
    const database = await openDatabase(path, { synchronous: 'FULL' })
    const [event] = link('what retention has taken', [movableEvent('TokenUsed')])
    rows.insertEvent(database, 1, USAGE, 5, event as NewEvent)
    rows.setNewestRevision(database, USAGE, 5)
    database.close()

    const exported = await cli(['export', '--out', 'events.ndjson', '--json'], folder)
    expect(exported.code).to.equal(1)
    expect(exported.stderr).to.contain(`Retention has taken the first events of ${USAGE}`)
    expect(JSON.parse(exported.stdout)).to.deep.include({ events: 1, shortened: [USAGE] })
    const env = { EVENT_STORE_URL: 'sqlite:other.db' }
    const imported = await cli(['import', 'events.ndjson'], folder, env)
    expect(imported.code).to.equal(1)
    expect(imported.stderr).to.contain(USAGE).and.contain('retention')
    expect(await readdir(folder)).to.have.members(['data', 'events.ndjson'])
  })

  it('leaves what was there where an export fails', async () => {
    const folder = await ownFolder()
    await mkdir(join(folder, 'data'))
    await copyFile(join(service.folder, 'data/events.db'), join(folder, 'data/events.db'))
    await writeFile(join(folder, 'out.ndjson'), 'before')
    await writeFile(join(folder, 'data/events.db'), (await readFile(file)).subarray(0, 4096), { flag: 'r+' })
    expect((await cli(['export', '--out', 'out.ndjson'], folder)).code).to.equal(1)
    expect(await readFile(join(folder, 'out.ndjson'), 'utf8')).to.equal('before')
    expect((await readdir(folder)).sort()).to.deep.equal(['data', 'out.ndjson'])
  })
})

describe('tokenledger export and import, of many events', () => {
  const TOKENS = 500
  /** These are fast to write, and an export of them takes long enough to be stopped. */
  const MORE_USES = 6000
  const EVENTS = TOKENS * 8 + MORE_USES
  let folder: string
  let file: string

  before(async () => {
    folder = await ownFolder()
    const store = await openSqliteEventStore(join(folder, 'data/events.db'))
    await fill(store, TOKENS)
    const write = createWriter(store)
    for (let left = MORE_USES; left > 0; left -= 100) {
      const uses = Array.from({ length: 100 }, () => movableEvent('TokenUsed'))
      await write(usageStream('other', '2026-11-02'), uses)
    }
    await store.close()
    file = join(folder, 'events.ndjson')
    expect((await cli(['export', '--out', file], folder)).code).to.equal(0)
  })

  after(endServices)

  async function eventsIn(other: string): Promise<number> {
    const store = await openSqliteEventStore(join(other, 'data/events.db'), { readOnly: true })
    try {
      return Number((await store.head()) ?? 0)
    } finally {
      await store.close()
    }
  }

  function start(args: readonly string[], cwd: string) {
    const env = { PATH: process.env.PATH, JWT_SECRET: SECRET, TOKEN_PEPPERS: PEPPERS }
    const child = spawn(process.execPath, [CLI, ...args], { cwd, env, stdio: 'ignore' })
    return { child, ended: new Promise<void>((resolve) => child.once('exit', () => resolve())) }
  }

  it('an import that is killed again and again goes on, and in the end has everything once', async () => {
    const other = await ownFolder()
    let there = 0
    for (const wanted of [1, TOKENS * 2, TOKENS * 5]) {
      const { child, ended } = start(['import', file], other)
      await eventually(async () => expect(await eventsIn(other)).to.be.greaterThan(Math.max(there, wanted)))
      child.kill('SIGKILL')
      await ended
      const left = await eventsIn(other)
      expect(left).to.be.within(there + 1, EVENTS - 1)
      there = left
    }
    const { ok, already_there } = reportOf(await cli(['import', file, '--json'], other))
    expect([ok, already_there]).to.deep.equal([true, there])
    expect(await eventsIn(other)).to.equal(EVENTS)
    await cli(['export', '--out', 'again.ndjson'], other)
    expect(await readFile(join(other, 'again.ndjson'), 'utf8')).to.equal(await readFile(file, 'utf8'))
    const again = reportOf(await cli(['import', file, '--json'], other))
    expect(again.already_there).to.equal(EVENTS)
  })

  it('an export that is stopped leaves nothing behind', async () => {
    const { child, ended } = start(['export', '--out', 'stopped.ndjson'], folder)
    await eventually(async () => expect((await readdir(folder)).join()).to.contain('.tmp'))
    child.kill('SIGTERM')
    await ended
    expect(child.signalCode).to.equal('SIGTERM')
    expect((await readdir(folder)).sort()).to.deep.equal(['data', 'events.ndjson'])
  })

  it('an export ends quietly when its reader goes away', async () => {
    const { code, stderr } = await cliCutOff(['export'], folder)
    expect([code, stderr]).to.deep.equal([0, ''])
  })
})
