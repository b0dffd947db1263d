import { createReadStream } from 'node:fs'
import { assertNoImport, withImportLease } from '../../src/application/tokenImport/importLease.ts'
import { BadRowsError, checkRows } from '../../src/application/tokenImport/checkRows.ts'
import { compareRows, importRows } from '../../src/application/tokenImport/importTokens.ts'
import { type BulkWrites, NoDataError, withEventStore, withWritableEventStore } from '../cli/stores.ts'
import { sqlitePath } from '../../src/stores/open.ts'
import type { ImportLease } from '../../src/application/tokenImport/importLease.ts'
import { patientReads } from '../../src/application/eventLog/patience.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { defineCommand, type Io, JSON_OPTION, NotFound } from '../cli/command.ts'
import { sizeOf } from '../cli/inputFile.ts'
import { json, plural, type Progress, progress } from '../cli/output.ts'

interface Outcome {
  rows: number
  imported: number
  alreadyThere: number
}

export const importTokens = defineCommand({
  name: 'import-tokens',
  summary: 'Take over the tokens of another system from a file with the rows of its table.',
  usage: '<file> [--dry-run] [--json]',
  help: [
    'One JSON object a line: id, token (the SHA-256 of the token in hex), account_id, name, created_at, updated_at,',
    'last_accessed and expires_at (null or infinity for never); times in RFC 3339 with their zone. If wanted also scopes,',
    'description, metadata and allowed_ips, as for any token. A UUID stays the id of its token, for another id one is',
    'derived from account and id. All rows are checked and compared with the store before the first is written; a row',
    'that cannot be taken is named by its line. Running it again changes nothing, and goes on where a run was killed.',
    'SCOPES and OPERATOR_SCOPE apply, MAX_TOKENS_PER_ACCOUNT and TOKEN_MAX_LIFETIME_DAYS do not.',
    'On SQLite stop the service first; on EventStoreDB it may run on. A second import beside one that runs is refused.',
    'The service accepts such tokens with ACCEPT_LEGACY_TOKENS=true, in the API token header.',
  ].join('\n'),
  args: ['<file>'],
  options: {
    'dry-run': { type: 'boolean', help: 'Check and compare only; may run beside any service.' },
    json: JSON_OPTION,
  },
  async run({ values, args: [path = ''] }, io) {
    const settings = storedSettings(io)
    const dryRun = values['dry-run'] === true
    const size = sizeOf(path, '<file>')
    const bar = progress(io, dryRun ? 2 : 3)
    try {
      const outcome = await takeOver({ path, size, dryRun }, settings, io, bar)
      bar.done()
      report(outcome, dryRun, values.json === true, io)
      return 0
    } catch (error) {
      bar.done()
      if (!(error instanceof BadRowsError && values.json)) throw error
      io.out(json({ ok: false, dry_run: dryRun, problems: error.problems, more_problems: error.more }))
      return 1
    }
  },
})

interface Asked {
  path: string
  size: number
  dryRun: boolean
}

async function takeOver(
  { path, size, dryRun }: Asked,
  settings: Settings,
  io: Io,
  bar: Progress,
): Promise<Outcome> {
  const chunks = createReadStream(path)
  bar.step('checking the rows', 'row')
  const rules = {
    now: new Date(io.now()).toISOString(),
    catalogue: settings.scopes && new Set(settings.scopes.map(({ name }) => name)),
    reservedScope: settings.operatorScope,
  }
  const rows = await checkRows(chunks, rules, (done) => bar.at(chunks.bytesRead / size, done))
  if (rows.count === 0) throw new NotFound('There is no row in the file.')

  const compare = (store: EventStore): Promise<Uint8Array> => {
    bar.step('comparing with the store')
    return compareRows(rows, store, (events) => bar.at(null, events))
  }
  const outcome = (there: Uint8Array, imported: number): Outcome => ({
    rows: rows.count,
    imported,
    alreadyThere: there.reduce((sum, one) => sum + one, 0),
  })
  if (dryRun) return outcome(await beside(settings, compare, rows.lines), 0)
  return writing(settings, bar, async ({ store: plain, patience }) => {
    const store = patientReads(plain, patience)
    const to = { store, clock: io.now, patience }
    const onProgress = (done: number): void => bar.at(done / rows.lines, done)
    const write = async (there: Uint8Array, lease?: ImportLease): Promise<Outcome> => {
      bar.step('importing', 'row')
      const context = { ...to, ...(lease && { lease }) }
      return outcome(there, await importRows(createReadStream(path), rows, there, context, onProgress))
    }
    // The file of a SQLite store belongs to this process alone. Into a server, others may import at the same time.
    if (sqlitePath(settings.eventStoreUrl) !== null) return write(await compare(store))
    await assertNoImport(store)
    const end = await store.head()
    const there = await compare(store)
    const compareNew = async (): Promise<void> =>
      void (await compareRows(rows, store, () => {}, { there, end }))
    return withImportLease(to, rows.lines, (lease) => write(there, lease), compareNew)
  })
}

/** A store that nobody has made yet has none of the rows. */
function beside(
  settings: Settings,
  compare: (store: EventStore) => Promise<Uint8Array>,
  lines: number,
): Promise<Uint8Array> {
  return withEventStore(settings, ({ store }) => compare(store)).catch((error: unknown) => {
    if (error instanceof NoDataError) return new Uint8Array(lines)
    throw error
  })
}

function writing<T>(settings: Settings, bar: Progress, work: (writes: BulkWrites) => Promise<T>): Promise<T> {
  return withWritableEventStore(settings, bar.note, work).catch((error: unknown) => {
    if (!(error instanceof Error && error.name === 'StoreInUseError')) throw error
    throw new Error(
      `${error.message}. Stop the service for the import, and let another import end; --dry-run works beside them.`,
    )
  })
}

function report({ rows, imported, alreadyThere }: Outcome, dryRun: boolean, asJson: boolean, io: Io): void {
  if (asJson) {
    io.out(json({ ok: true, dry_run: dryRun, rows, imported, already_there: alreadyThere }))
  } else if (dryRun) {
    const missing = rows - alreadyThere
    io.out(`${plural(rows, 'row')}, all good: ${missing} to import, ${alreadyThere} already there.\n`)
  } else {
    io.out(`${plural(rows, 'row')}: ${imported} imported, ${alreadyThere} already there.\n`)
  }
}
