import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEventStoreDb } from '../../src/adapters/eventstoredb/eventStore.ts'
import { withImportLease } from '../../src/application/tokenImport/importLease.ts'
import { cli, type CliResult, cliToKill } from '../../test/support/processes/cli.ts'
import { eventually } from '../../test/support/suite/eventually.ts'
import { startFleet } from '../../test/support/processes/fleet.ts'
import { fileOfRows, oldRow, oldToken } from '../../test/support/events/oldTable.ts'
import { ownFolder } from '../../test/support/processes/service.ts'
import { attack } from './lab.ts'

const ROWS = 200
const LONG = 400

/** Rows with the same secrets but other ids for each prefix, as two exports of one old table may have them. */
const rows = (prefix: string, count = ROWS, after = 0): string =>
  fileOfRows(Array.from({ length: count }, (_, i) => oldRow(after + i + 1, { id: `${prefix}${i}` })))

const said = (stdout: string, stderr: string): string =>
  (stderr || stdout).replaceAll(/\s+/g, ' ').trim().slice(0, 120)

await attack('Two imports of the same tokens under different ids at the same time', async (report) => {
  const { saw, control, bound } = report
  const fleet = await startFleet(1, { env: { ACCEPT_LEGACY_TOKENS: 'true' } })
  const env = { EVENT_STORE_URL: fleet.stores.EVENT_STORE_URL }
  const folder = await ownFolder()
  const store = await openEventStoreDb(env.EVENT_STORE_URL)
  const run = (file: string): Promise<CliResult> => cli(['import-tokens', file, '--json'], folder, env)

  async function imported(): Promise<string[]> {
    const hashes: string[] = []
    for await (const events of store.readAll(null))
      for (const { type, data } of events)
        if (type === 'TokenImported') hashes.push((data as { hash: string }).hash)
    return hashes
  }

  try {
    const [member] = fleet.members
    if (!member) throw new Error('no service')
    await writeFile(join(folder, 'one.ndjson'), rows('a'))
    await writeFile(join(folder, 'other.ndjson'), rows('b'))
    await writeFile(join(folder, 'small.ndjson'), fileOfRows([oldRow(9_999)]))
    await writeFile(join(folder, 'late.ndjson'), fileOfRows([oldRow(8_888)]))
    control('one import alone is taken', (await run('small.ndjson')).code === 0)

    const both = await Promise.all(['one.ndjson', 'other.ndjson'].map(run))
    for (const { code, stdout, stderr } of both)
      saw(`of two at once one ended with ${code}: ${said(stdout, stderr)}`)
    bound('of two at once no more than one is taken', both.filter(({ code }) => code === 0).length <= 1)
    const hashes = await imported()
    bound('no secret has become two tokens', new Set(hashes).size === hashes.length)

    const late = await withImportLease(
      { store, clock: Date.now },
      1,
      async (lease) => {
        await lease.hold()
        return run('late.ndjson')
      },
      async () => {},
    )
    saw(`beside one that runs another ended with ${late.code}: ${said(late.stdout, late.stderr)}`)
    bound(
      'beside one that runs it is refused, with the reason',
      late.code === 1 && /Another import/.test(late.stderr),
    )

    await writeFile(join(folder, 'long.ndjson'), rows('c', LONG, ROWS))
    const kill = cliToKill(['import-tokens', 'long.ndjson'], folder, env)
    while ((await imported()).length === hashes.length) await sleep(50)
    await kill()
    saw(`one was killed after ${(await imported()).length - hashes.length} of ${LONG} rows`)
    const again = await run('long.ndjson')
    bound('one that was killed goes on', again.code === 0)
    bound('and has each row once', (await imported()).length === hashes.length + LONG)

    const accepted = await eventually(async () => {
      const uses = await Promise.all([ROWS + 1, ROWS + LONG].map((n) => member.api.use(oldToken(n))))
      if (uses.some((status) => status !== 200)) throw new Error(uses.join())
      return true
    }).catch(() => false)
    bound('the service goes on, and accepts what was imported', accepted)
    const ready = await fetch(`${member.service.url}/health/ready`)
    bound('and is ready', ready.status === 200)
  } finally {
    await store.close()
    await fleet.close()
  }
})
