import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { openDatabase } from '../../src/adapters/sqlite/database/database.ts'
import { insertEvent } from '../../src/adapters/sqlite/log/eventRows.ts'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import type { NewEvent } from '../../src/domain/events.ts'
import { tokenStream } from '../../src/domain/streams.ts'
import { apiOf } from '../support/callers/api.ts'
import { cli } from '../support/processes/cli.ts'
import { startLedger } from '../support/processes/ledger.ts'
import { endServices, ownFolder } from '../support/processes/service.ts'

const PAGE_BYTES = 4096

describe('tokenledger, on a history that was tampered with', () => {
  let original: string
  let tokenId: string
  let copy: string
  const env = () => ({
    EVENT_STORE_URL: `sqlite:${copy}/events.db`,
    READ_MODEL_URL: `sqlite:${copy}/read-model.db`,
  })
  const run = (...args: string[]) => cli(args, copy, env())

  before(async () => {
    original = await ownFolder()
    const service = await startLedger({}, original)
    const api = apiOf(service.url)
    tokenId = (await api.create({ name: 'CI' })).body.id
    await api.patch(tokenId, { name: 'CI deploy' })
    await api.create({ name: 'another' })
    await service.close()
  })

  beforeEach(async () => {
    copy = await ownFolder()
    // The WAL and its index are empty after a stop, and `libsql` may remove them at any time.
    await cp(original, copy, { recursive: true, filter: (path) => !/-(wal|shm)$/.test(path) })
  })

  after(endServices)

  async function assertNamed(revision: number): Promise<void> {
    const { code, stdout, stderr } = await run('history', tokenId)
    expect(code).to.equal(1)
    expect(stdout, 'the sound ones').to.contain('TokenCreated').and.not.contain('deplo')
    expect(stderr).to.contain(`revision ${revision} of ${tokenStream(tokenId)}`)
    const asJson = JSON.parse((await run('history', tokenId, '--json')).stdout)
    expect(asJson.data.map((event: { revision: number }) => event.revision)).to.deep.equal([0])
    expect(asJson.damaged).to.have.lengthOf(1)
    const explained = await run('explain', tokenId, '2099-01-01')
    expect(explained.code).to.equal(1)
    expect(explained.stdout).to.contain('TokenCreated').and.contain('cannot be told')
    expect(explained.stderr).to.contain(`revision ${revision} of ${tokenStream(tokenId)}`)
    expect((await run('verify', '--chain')).code).to.equal(1)
  }

  const edit = (sql: string) =>
    withEvents(copy, (database) => database.prepare(sql).run(tokenStream(tokenId)))

  it('is told where nothing was', async () => {
    expect((await run('history', tokenId)).code).to.equal(0)
    expect((await run('doctor')).code).to.equal(0)
  })

  it('is named where a byte was changed', async () => {
    await edit(
      "UPDATE events SET data = replace(data, 'CI deploy', 'CI deplox') WHERE stream = ? AND revision = 1",
    )
    await assertNamed(1)
  })

  it('is named where the checksum was made to fit', async () => {
    const store = await openSqliteEventStore(join(copy, 'events.db'), { readOnly: true })
    const [event] = await store.readStream(tokenStream(tokenId), 1, 1)
    await store.close()
    if (!event) throw new Error('there is no second event')
    await withEvents(copy, (database) => {
      database.prepare('DELETE FROM events WHERE stream = ? AND revision = 1').run(event.stream)
      const forged = { ...event, data: { name: 'CI deplox' } } as unknown as NewEvent
      insertEvent(database, Number(event.position), event.stream, 1, forged)
    })
    await assertNamed(1)
    const first = await run('history', tokenId, '--at', '0')
    expect(first.code).to.equal(1)
    expect(first.stdout).to.match(/name +CI\n/)
  })

  it('is named where an event was taken away', async () => {
    await edit('DELETE FROM events WHERE stream = ? AND revision = 1')
    await assertNamed(1)
  })

  it('is no finding where there is no store to look at', async () => {
    const elsewhere = {
      EVENT_STORE_URL: `sqlite:${copy}/none.db`,
      READ_MODEL_URL: `sqlite:${copy}/no-model.db`,
    }
    for (const args of [
      ['verify'],
      ['verify', '--chain'],
      ['history', tokenId],
      ['usage', '--token', tokenId],
    ]) {
      const { code, stdout } = await cli(args, copy, elsewhere)
      expect([code, stdout], args.join(' ')).to.deep.equal([3, ''])
    }
    const unreachable = { ...env(), EVENT_STORE_URL: 'esdb://127.0.0.1:1?tls=false' }
    for (const args of [['verify'], ['verify', '--chain'], ['history', tokenId], ['rebuild'], ['export']])
      expect((await cli(args, copy, unreachable)).code, args.join(' ')).to.equal(3)
  })

  it('is seen by doctor where SQLite can see it', async () => {
    const file = join(copy, 'events.db')
    const bytes = await readFile(file)
    // Overwrites the second page and all that follow. Whatever tree they belong to, none of them is a node any more.
    await writeFile(file, bytes.fill(0xff, PAGE_BYTES))
    const { code, stdout } = await run('doctor')
    expect(code).to.equal(1)
    expect(stdout).to.match(/^FAIL +event store/m)
  })
})

type Database = Awaited<ReturnType<typeof openDatabase>>

async function withEvents(folder: string, work: (database: Database) => void): Promise<void> {
  const database = await openDatabase(join(folder, 'events.db'), { synchronous: 'FULL' })
  try {
    work(database)
    database.checkpoint()
  } finally {
    database.close()
  }
}
