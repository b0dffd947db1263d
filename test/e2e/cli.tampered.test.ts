import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { openDatabase } from '../../src/adapters/sqlite/database/database.ts'
import { setNewestRevision } from '../../src/adapters/sqlite/log/eventRows.ts'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import type { UsageEntry } from '../../src/domain/usageEntries.ts'
import { tokenStream, usageStream } from '../../src/domain/streams.ts'
import { apiOf, type HistoryRow } from '../support/callers/api.ts'
import { INSTANCE, used, writerTo } from '../support/events/audited.ts'
import { cli } from '../support/processes/cli.ts'
import { endServices, ownFolder, startService } from '../support/processes/service.ts'

interface Audited {
  ok: boolean
  found: { kind: string; token_id: string; late_ms: number }[]
}
interface Verified {
  ok: boolean
  damaged: { stream: string | null; revision: number | null }[]
}

describe('tokenledger, for an auditor of a log that was tampered with', () => {
  let original: string
  let folder: string
  let tokenId: string
  let revokedAt: number
  let checkpoint: string
  const run = (...args: string[]) => cli(args, folder)

  before(async () => {
    original = await ownFolder()
    const service = await startService({ USAGE_FLUSH_MS: '20' }, original)
    const api = apiOf(service.url)
    const { id, token } = (await api.create({ name: 'CI' })).body
    await api.create({ name: 'other' })
    await api.use(token)
    await api.patch(id, { name: 'CI deploy' })
    await api.revoke(id)
    const { data } = (await api.events(id)).body
    revokedAt = Date.parse((data[2] as HistoryRow & { at: string }).at)
    tokenId = id
    await service.stop()
    checkpoint = (await cli(['checkpoint'], original)).stdout
  })

  beforeEach(async () => {
    folder = await ownFolder()
    await mkdir(join(folder, 'data'))
    for (const name of ['events.db', 'audit-key.pem']) {
      await copyFile(join(original, 'data', name), join(folder, 'data', name))
    }
    await writeFile(join(folder, 'checkpoint.json'), checkpoint)
  })

  after(endServices)

  async function plant(what: Partial<UsageEntry>): Promise<void> {
    await withStore(async (store) => {
      const at = what.lastAt ?? new Date().toISOString()
      await writerTo(store)(usageStream(INSTANCE, at), [used(tokenId, what)])
    })
  }

  async function withStore(work: (store: EventStore) => Promise<void>): Promise<void> {
    const store = await openSqliteEventStore(join(folder, 'data/events.db'))
    await work(store)
    await store.close()
  }

  async function edit(...statements: string[]): Promise<void> {
    const database = await openDatabase(join(folder, 'data/events.db'), { synchronous: 'FULL' })
    for (const sql of statements) database.exec(sql)
    database.checkpoint()
    database.close()
  }

  it('finds a use after the revocation and the bound', async () => {
    const at = (millis: number) => new Date(revokedAt + 2000 + millis).toISOString()
    await plant({ tokenRevision: 1, count: 3, firstAt: at(10), lastAt: at(900) })
    const { code, stdout } = await run('audit', 'decisions', '--json')
    expect(code).to.equal(1)
    const { ok, found } = JSON.parse(stdout) as Audited
    expect(ok).to.equal(false)
    expect(found).to.have.lengthOf(1)
    expect(found[0]).to.include({ kind: 'possible', token_id: tokenId, late_ms: 900 })
    const text = await run('audit', 'decisions')
    expect(text.code).to.equal(1)
    expect(text.stdout).to.match(/^possible: token .*, 3 uses from .*after the bound, by up to 900 ms/m)
    expect((await run('audit', 'decisions', '--tolerance', '900')).code).to.equal(0)
  })

  it('finds a use on the revision of the revocation, and explain names it', async () => {
    const at = new Date(revokedAt + 5).toISOString()
    await plant({ tokenRevision: 2, firstAt: at, lastAt: at })
    const { code, stdout } = await run('audit', 'decisions', '--tolerance', '60000')
    expect(code).to.equal(1)
    expect(stdout).to.match(/^certain: token .* on revision 2/m)
    expect((await run('explain', tokenId, at)).stdout).to.contain('IS THAT OF A REVOKED TOKEN')
  })

  it('names the first event of each stream that was altered, and signs nothing', async () => {
    await edit("UPDATE events SET data = replace(data, 'CI', 'XX')", "UPDATE events SET type = 'TokensUsed'")
    const { code, stdout } = await run('verify', '--chain', '--json')
    expect(code).to.equal(1)
    const { ok, damaged } = JSON.parse(stdout) as Verified
    expect(ok).to.equal(false)
    expect(damaged).to.have.lengthOf(2)
    expect(damaged.find(({ stream }) => stream === tokenStream(tokenId))?.revision).to.equal(0)
    const text = await run('verify', '--chain')
    expect(text.stdout).to.contain(`${tokenStream(tokenId)}: revision 0 `)
    const signed = await run('checkpoint')
    expect([signed.code, signed.stdout]).to.deep.equal([1, ''])
    expect(signed.stderr).to.contain('What is damaged is not signed.')
    expect((await run('audit', 'decisions')).code).to.equal(1)
  })

  it('finds the last event of a stream gone, by the table of streams', async () => {
    await edit(
      `DELETE FROM events WHERE stream = '${tokenStream(tokenId)}' AND revision = 2`,
      "UPDATE sqlite_sequence SET seq = (SELECT max(position) FROM events) WHERE name = 'events'",
    )
    const { code, stdout } = await run('verify', '--chain')
    expect(code).to.equal(1)
    expect(stdout).to.contain(`${tokenStream(tokenId)}: its newest event is at revision 1, and 2 was written`)
  })

  it('finds by the checkpoint what was cut off without a trace in the store', async () => {
    await edit(
      'DELETE FROM events WHERE position = (SELECT max(position) FROM events)',
      "UPDATE sqlite_sequence SET seq = (SELECT max(position) FROM events) WHERE name = 'events'",
      'DELETE FROM streams WHERE NOT EXISTS (SELECT 1 FROM events WHERE events.stream = streams.stream)',
    )
    const database = await openDatabase(join(folder, 'data/events.db'), { synchronous: 'FULL' })
    const [row] = database
      .prepare('SELECT stream, max(revision) AS newest FROM events WHERE stream LIKE ? GROUP BY stream')
      .all(tokenStream(tokenId))
    if (row) setNewestRevision(database, String(row.stream), Number(row.newest))
    database.close()
    expect((await run('verify', '--chain')).code, 'the links').to.equal(0)
    const { code, stdout } = await run('verify', '--against', 'checkpoint.json')
    expect(code).to.equal(1)
    expect(stdout).to.match(/^Since the checkpoint of .*: of the .*, 1 of \d are gone/m)
  })
})
