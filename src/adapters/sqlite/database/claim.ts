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
 * Who writes a database, and under which name, is kept in the database itself: a lock beside it is a lock of one name
 * only, and can be deleted. What is written is at first in a file named after the database (`<name>-wal`), so whoever
 * opens it by another name, through a hard link or a mount of the file alone, would neither see nor respect that.
 *
 * The claim is in the main file before anything else is written, and goes when the database is closed in good order and
 * all of it is in that file. Then any name is as good as another. Each transaction checks that the claim is still its
 * own: two processes that have it open by one name, since somebody has deleted the lock, see each other's claims.
 */
export interface Claim {
  /** First thing in a transaction. @throws StoreUnavailableError another process has taken the database over */
  assertMine(): void
  /** Does another process write the database now, as of a second ago at the latest? Costs nothing. */
  isLost(): boolean
  /** Writes it again as it is. */
  renew(): void
  /** Within the last transaction. */
  withdraw(): void
  /** Looks no more: the database is about to be closed. */
  end(): void
}

/** The name and its folder say where the write-ahead log is; `file` tells a copy of the database from itself. */
interface Holder {
  instance: string
  file: string
  folder: string
  name: string
  path: string
  /** Null where it cannot be told whether a process is alive. */
  process: string | null
}

const LOOK_MS = 1_000
const CREATE = 'CREATE TABLE IF NOT EXISTS writer (claim TEXT NOT NULL) STRICT'
const READ = `SELECT ${bytes('claim')} FROM writer`

/**
 * To be asked before the database is opened: that alone ties the process to the log beside the name, and within one
 * process SQLite takes one name of a file for the other.
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
    // No database yet, damaged, or in the middle of being written: the one that is opened shows that.
  } finally {
    connection.close()
  }
  if (found) assertSamePlace(path, found, holderOf(path))
}

/**
 * For the holder of the lock beside it.
 * @throws StoreInUseError it is open by another name, or was and was not closed; StoreUnavailableError, DamagedError
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
  // Whoever reads at the moment may keep it out of the main file: then it comes there later.
  if (!isInMainFile) database.checkpoint()
  return claim(database, text, log)
}

function claim(database: Database, text: string, log?: Logger): Claim {
  let lost = false
  const looking = setInterval(() => {
    try {
      assertMine()
    } catch {
      // Locked or unreadable says nothing of who writes it: then `lost` is as before.
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
 * Nobody else has the database open by any name, and nobody can open it until the claim is in the main file.
 * @returns false: somebody has it open
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

/** Somebody reads. A writer by another name is seen by its claim. */
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

/** @returns whether there is a claim by this very name, left by a process that is gone */
function assertFree(database: Database, mine: Holder): boolean {
  const found = parse(textIn(database))
  if (!found || found.file !== mine.file) return false
  assertSamePlace(database.path, found, mine)
  if (isAlive(found, mine)) throw new StoreInUseError(database.path)
  return true
}

/** A copy is another file: the claim in it says nothing. */
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

/** Of a file or folder, whatever its names. The number of its device changes with a restart of the machine. */
function identityOf(path: string): string {
  const { ino, birthtimeNs } = statSync(path, { bigint: true })
  return `${ino} ${birthtimeNs}`
}

function isAlive({ process: found }: Holder, { process: mine }: Holder): boolean {
  if (found === null || mine === null || found === mine) return false
  const [place, pid] = found.split(' ')
  // A number means a process only on the same machine, since it was started, and in the same container.
  return place === mine.split(' ')[0] && processName(Number(pid)) === found
}

/** The machine's start, the process's number and its own start, where the system tells. */
function processName(pid: number): string | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const namespace = readlinkSync('/proc/self/ns/pid')
    // The name before it is in brackets and may have any character.
    const started = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[19]
    return `${boot}/${namespace} ${pid} ${started}`
  } catch {
    return null
  }
}
