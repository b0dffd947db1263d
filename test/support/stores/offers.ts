import { cp, copyFile, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { projections } from '../../../projections/index.ts'
import { openPlain } from '../../../src/adapters/sqlite/database/database.ts'
import { openSqliteEventStore } from '../../../src/adapters/sqlite/eventStore.ts'
import { openSqliteReadModel } from '../../../src/adapters/sqlite/readModel.ts'
import { seal } from '../../../src/adapters/sqlite/documents/seal.ts'
import { isOf } from '../../../src/application/logIdentity/sameLog.ts'
import { createLogReader } from '../../../src/application/eventLog/logReader.ts'
import { rebuild } from '../../../src/application/projection/rebuild.ts'
import { eventually } from '../suite/eventually.ts'
import { historyOn } from '../events/history.ts'
import { countingTelemetry } from './pieces.ts'
import { ownFolder, startService } from '../processes/service.ts'

/** What a rebuild leaves for the service: the complete file, and the pointer that offers it. */
const FILE = 'read-model.db.g2'
const OFFER = 'read-model.db.offer'

/** A file that a rebuild has made, and a data folder that it belongs to. */
export interface RebuiltFile {
  /** The folder was closed in good order, and does not contain the file. */
  folder: string
  /** Puts the file where a rebuild that was interrupted would have left it, with damage. */
  leaveHalfFilled(folder: string, damage: Damage): Promise<void>
  /** The same, and offers it to the service. */
  offer(folder: string, damage: Damage, vouch: Vouch): Promise<void>
}

export type Damage = (file: string) => Promise<void>
/** Is the checksum beside the file that of the sound file, or that of the damaged one? */
type Vouch = 'as it was' | 'as it is'

export async function rebuiltFile(events = 200): Promise<RebuiltFile> {
  const folder = await ownFolder()
  await (await startService({}, folder)).stop()
  const store = await openSqliteEventStore(join(folder, 'data', 'events.db'))
  await (await historyOn(store)).grow(events)
  await store.close()
  await (await startService({}, folder)).stop()
  const made = await makeBeside(folder)

  async function leave(to: string, damage: Damage): Promise<string> {
    const file = join(to, 'data', FILE)
    await copyFile(join(made, FILE), file)
    await damage(file)
    return file
  }

  return {
    folder,
    async leaveHalfFilled(to, damage) {
      await leave(to, damage)
    },
    async offer(to, damage, vouch) {
      const file = await leave(to, damage)
      if (vouch === 'as it is') seal(file)
      else await copyFile(join(made, `${FILE}.seal`), `${file}.seal`)
      await copyFile(join(made, OFFER), join(to, 'data', OFFER))
    },
  }
}

/**
 * Lets a rebuild offer its file while somebody holds the lock of the read model, as a service does, but never takes the
 * file.
 */
async function makeBeside(folder: string): Promise<string> {
  const copy = await ownFolder()
  const kept = await ownFolder()
  await cp(join(folder, 'data'), copy, { recursive: true })
  const path = join(copy, 'read-model.db')
  const holder = await openSqliteReadModel(path)
  await holder.open(projections)
  const store = await openSqliteEventStore(join(copy, 'events.db'), { readOnly: true })
  const readModel = await openSqliteReadModel(path, { readOnly: true })
  await readModel.open(projections)
  const ended = rebuild(
    { read: createLogReader(store), isOfLog: isOf(store), readModel, telemetry: countingTelemetry() },
    projections,
  )
  await eventually(() => copyFile(join(copy, OFFER), join(kept, OFFER)))
  for (const name of [FILE, `${FILE}.seal`]) await copyFile(join(copy, name), join(kept, name))
  await holder.close()
  await ended
  await Promise.all([store.close(), readModel.close()])
  return kept
}

const bySql =
  (sql: string): Damage =>
  async (file) => {
    const database = await openPlain(file)
    database.exec(sql)
    database.close()
  }

/** Inverts the bytes of a text wherever it stands. */
const inBytes =
  (text: string): Damage =>
  async (file) => {
    const bytes = await readFile(file)
    for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) bytes.fill(0xff, at, at + 3)
    await writeFile(file, bytes)
  }

const PAGE = 4096
const noUtf8 = "CAST(X'c328ff' AS TEXT)"

export const DAMAGES: Record<string, Damage> = {
  'no UTF-8 in what it was filled for': bySql(`UPDATE filling SET all_projections = ${noUtf8}`),
  'no UTF-8 in a checkpoint': bySql(
    `UPDATE checkpoints SET projection = ${noUtf8} WHERE projection = 'tokens'`,
  ),
  'no UTF-8 in its schema': inBytes('filling'),
  'no UTF-8 in the name of an index': inBytes('tokens_v'),
  'a page of nothing': async (file) => {
    const bytes = await readFile(file)
    await writeFile(file, bytes.fill(0xff, 3 * PAGE, 3.5 * PAGE))
  },
  'its end cut off': async (file) =>
    truncate(file, Math.floor((await readFile(file)).length / PAGE / 2) * PAGE),
  'its end cut off within a page': async (file) => truncate(file, 5 * PAGE - 100),
  'a schema of something else': bySql('DROP TABLE filling; CREATE TABLE filling (x); CREATE TABLE other (y)'),
  'nothing like a database': (file) => writeFile(file, Buffer.alloc(5 * PAGE, 'garbage')),
  'nothing in it': (file) => truncate(file, 0),
}

export const namesIn = async (folder: string): Promise<string[]> =>
  (await readdir(join(folder, 'data'))).filter(
    (name) => /\.(g\d+|offer)/.test(name) && !name.endsWith('.lock'),
  )

/** The folder as it was before the rebuild. */
export async function copyOfFolder(from: string): Promise<string> {
  const folder = await ownFolder()
  // SQLite may remove its shared memory beside a closed file while the folder is copied.
  await eventually(() => cp(join(from, 'data'), join(folder, 'data'), { recursive: true }))
  await rm(join(folder, 'data', FILE), { force: true })
  return folder
}
