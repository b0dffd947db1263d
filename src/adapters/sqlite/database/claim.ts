import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Logger } from '../../../application/ports/telemetry.ts'
import { StoreUnavailableError } from '../../../application/ports/errors.ts'
import { bytes, type Database, type SqlRow, setJournal, toText } from './database.ts'
import { connectAlone } from './driver.ts'
import { BusyError } from './errors.ts'
import { StoreInUseError } from '../../../application/ports/errors.ts'
import { whenFree } from './whenFree.ts'

/**
 * The database itself records who writes it, and under which name. A lock file beside it is not enough, since it
 * protects only one name of the database, and can be deleted. New data is first in a file named after the database
 * (`<name>-wal`). So a process that opens the database by another name, through a hard link or a mount of the file
 * alone, would neither see nor respect it.
 *
 * The claim is written to the main file before anything else is written. It is withdrawn when the database is closed in
 * good order, with all data in the main file, so that any name may be used then. Each transaction checks that the claim
 * is still its own: if somebody has deleted the lock, and two processes have the database open by the same name, each
 * sees the claim of the other.
 */
export interface Claim {
  /** The first step of a transaction. @throws StoreUnavailableError if another process has taken the database over */
  assertMine(): void
  /** Has another process taken the database over? The answer costs nothing, and may be a second old. */
  isLost(): boolean
  /** Writes the same claim again, to find out whether writing is possible. */
  renew(): void
  /** Removes the claim. To be called within the last transaction. */
  withdraw(): void
  /** Stops looking, since the database is about to be closed. */
  end(): void
}

/** The name and its folder say where the write-ahead log is. `file` distinguishes the database from a copy of it. */
interface Holder {
  instance: string
  file: string
  folder: string
  name: string
  path: string
  /** Null on systems where one cannot find out whether a process is alive. */
  process: string | null
}

const LOOK_MS = 1_000
const CREATE = 'CREATE TABLE IF NOT EXISTS writer (claim TEXT NOT NULL) STRICT'
const READ = `SELECT ${bytes('claim')} FROM writer`

/**
 * To be called before the database is opened. Opening it would already bind this process to the write-ahead log beside
 * this name; and within one process, SQLite does not distinguish two names of a file.
 * @throws StoreInUseError as `claimDatabase`
 */
export async function assertNotElsewhere(path: string): Promise<void> {
  if (!existsSync(path)) return
  const connection = await connectAlone(path)
  if (!connection) return
  let found: Holder | null = null
  try {
    found = parse(textIn(connection))
  } catch {
    // The file is no database yet, is damaged, or is just being written. Opening it will show which.
  } finally {
    connection.close()
  }
  if (found) assertSamePlace(path, found, holderOf(path))
}

/**
 * Claims the database. Only for the holder of the lock beside it.
 * @throws StoreInUseError if it is open by another name, or was and was not closed; StoreUnavailableError, DamagedError
 */
export async function claimDatabase(database: Database, log?: Logger): Promise<Claim> {
  const mine = holderOf(database.path)
  const text = JSON.stringify(mine)
  const isInMainFile = await whenFree(() => {
    if (!assertFree(database, mine) && claimAlone(database, mine, text)) return true
    claimBeside(database, mine, text)
    return false
  })
  await whenFree(() => setJournal(database, 'WAL'))
  // A reader may keep the claim from being moved into the main file now. Then it is moved later.
  if (!isInMainFile) database.checkpoint()
  return claim(database, text, log)
}

function claim(database: Database, text: string, log?: Logger): Claim {
  let lost = false
  const looking = setInterval(() => {
    try {
      assertMine()
    } catch {
      // A locked or unreadable file does not show who writes it, so `lost` stays as it is.
    }
  }, LOOK_MS).unref()

  const assertMine = (): void => {
    if (!lost && textOf(database.prepare(READ).get()) === text) return
    if (!lost) log?.error({ file: database.path }, 'another process has taken the file over: end one of them')
    lost = true
    throw new StoreUnavailableError(`${database.path} was taken over by another process`)
  }

  return {
    assertMine,
    isLost: () => lost,
    renew: () => write(database, text),
    withdraw() {
      assertMine()
      database.exec('DELETE FROM writer')
    },
    end: () => clearInterval(looking),
  }
}

/**
 * Writes the claim straight into the main file, while nobody else has the database open by any name, or can open it.
 * @returns false if somebody has it open
 */
function claimAlone(database: Database, mine: Holder, text: string): boolean {
  const lockingMode = (mode: 'EXCLUSIVE' | 'NORMAL') =>
    database.prepare(`PRAGMA locking_mode = ${mode}`).all()
  lockingMode('EXCLUSIVE')
  try {
    setJournal(database, 'DELETE')
    assertFree(database, mine)
    database.inTransaction('immediate', () => write(database, text))
    return true
  } catch (error) {
    if (error instanceof BusyError) return false
    throw error
  } finally {
    lockingMode('NORMAL')
  }
}

/** Writes the claim while somebody reads. A writer by another name would be noticed by its claim. */
function claimBeside(database: Database, mine: Holder, text: string): void {
  database.inTransaction('immediate', () => {
    assertFree(database, mine)
    write(database, text)
  })
}

function write(database: Database, text: string): void {
  database.exec(CREATE)
  database.exec('DELETE FROM writer')
  database.prepare('INSERT INTO writer VALUES (?)').run(text)
}

/** @returns whether there is a claim by this same name, left by a process that has ended. @throws StoreInUseError */
function assertFree(database: Database, mine: Holder): boolean {
  const found = parse(textIn(database))
  if (!found || found.file !== mine.file) return false
  assertSamePlace(database.path, found, mine)
  if (isAlive(found, mine)) throw new StoreInUseError(database.path)
  return true
}

/**
 * Refuses if the same file was claimed by another name. The claim in a copy does not matter, since that is another
 * file.
 */
function assertSamePlace(path: string, found: Holder, mine: Holder): void {
  if (found.file !== mine.file || (found.folder === mine.folder && found.name === mine.name)) return
  const { path: other, name } = found
  throw new StoreInUseError(
    path,
    `the same file is open, or was and was not closed, as ${other}, here or in another container. Its newest ` +
      `changes may be in ${name}-wal beside that: start it by that name. If that is gone for good: ` +
      `sqlite3 ${path} "DELETE FROM writer"`,
  )
}

function textIn(database: Pick<Database, 'prepare'>): string | null {
  const table = database.prepare("SELECT 1 AS found FROM sqlite_schema WHERE name = 'writer'").get()
  return table ? textOf(database.prepare(READ).get()) : null
}

const textOf = (row: SqlRow | undefined): string | null => (row ? toText(row.claimBytes) : null)

function parse(text: string | null): Holder | null {
  try {
    const { instance, file, folder, name, path, process } = JSON.parse(text ?? '')
    const all = [instance, file, folder, name, path, process ?? '']
    return all.every((value) => typeof value === 'string')
      ? { instance, file, folder, name, path, process }
      : null
  } catch {
    return null
  }
}

function holderOf(path: string): Holder {
  const real = realpathSync(path)
  return {
    instance: randomUUID(),
    file: identityOf(real),
    folder: identityOf(dirname(real)),
    name: basename(real),
    path: real,
    process: processName(process.pid),
  }
}

/**
 * Identifies a file or folder, whatever its names. The device number is left out, since it may change with a restart.
 */
function identityOf(path: string): string {
  const { ino, birthtimeNs } = statSync(path, { bigint: true })
  return `${ino} ${birthtimeNs}`
}

function isAlive({ process: found }: Holder, { process: mine }: Holder): boolean {
  if (found === null || mine === null || found === mine) return false
  const [place, pid] = found.split(' ')
  // A process number is meaningful only on the same machine, since its last start, and in the same container.
  return place === mine.split(' ')[0] && processName(Number(pid)) === found
}

/** The states of a zombie, and of a process that is about to vanish. */
const ENDED = new Set(['Z', 'X', 'x'])

/**
 * Identifies a process by the machine's start, its number, and its own start; null where the system does not show them,
 * and for a process that has ended. It is shown until its parent has asked how it ended.
 */
function processName(pid: number): string | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const namespace = readlinkSync('/proc/self/ns/pid')
    // The program's name comes before, in brackets, and may contain any character.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    const [state = '', threads, started] = [fields[0], fields[17], fields[19]]
    // The first thread may end before the others, which have the files open as long as they are there.
    const hasEnded = ENDED.has(state) && Number(threads) <= 1
    return hasEnded ? null : `${boot}/${namespace} ${pid} ${started}`
  } catch {
    return null
  }
}
