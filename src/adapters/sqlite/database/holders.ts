import { readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { targetOf } from './lock.ts'

/** Another process, as far as this one can see it. */
export interface Holder {
  pid: number
  program: string
}

/** The bytes of a WAL index (`-shm`) that SQLite locks: one for the writer, and five for readers. */
const WRITER = 120
const READERS = { first: 123, last: 127 }
/** A line of `/proc/locks`: `1: POSIX  ADVISORY  WRITE 4711 08:01:1234567 120 120` */
const LOCK = /^\d+: POSIX +\S+ +(?:READ|WRITE) +(\d+) +\S+:(\d+) +(\d+) +(\d+|EOF)$/

/**
 * The other processes that keep a file from being written. Only Linux shows them, and not those of other containers.
 */
export const whoLocks = (path: string): Promise<Holder[]> => holdersOf(path, WRITER, WRITER)

/** The other processes that read an old state of the file, so that its write-ahead log cannot be moved into it. */
export const whoReads = (path: string): Promise<Holder[]> => holdersOf(path, READERS.first, READERS.last)

async function holdersOf(path: string, first: number, last: number): Promise<Holder[]> {
  const pids = new Set<number>()
  try {
    const inodes = await Promise.all([inodeOf(path), inodeOf(`${targetOf(path)}-shm`)])
    const locks = await readFile('/proc/locks', 'utf8')
    for (const line of locks.split('\n')) {
      const [, pid, inode, from, to] = LOCK.exec(line) ?? []
      // Every process that has the file open holds a lock on it. Only a WRITE lock is exclusive.
      const isOnIndex = inode === inodes[1] && Number(from) <= last && Number(to) >= first
      const isOnFile = inode === inodes[0] && line.includes('WRITE')
      if ((isOnIndex || isOnFile) && Number(pid) !== process.pid) pids.add(Number(pid))
    }
  } catch {
    // The system is not Linux, or does not show its locks.
  }
  return Promise.all([...pids].map(async (pid) => ({ pid, program: await programOf(pid) })))
}

const inodeOf = async (path: string): Promise<string> => String((await stat(path)).ino)

/** The name of the program, without its arguments, since these may be secret. */
const programOf = (pid: number): Promise<string> =>
  readFile(`/proc/${pid}/cmdline`, 'utf8').then(
    (text) => basename(text.split('\0')[0] ?? ''),
    () => 'unknown',
  )
