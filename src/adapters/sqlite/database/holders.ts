import { readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { targetOf } from './lock.ts'

/** Another process, as far as this one can see it. */
export interface Holder {
  pid: number
  program: string
}

/** SQLite's locks on the index of a write-ahead log: the one writer, then those who read it. */
const WRITER = 120
const READERS = { first: 123, last: 127 }
/** `1: POSIX  ADVISORY  WRITE 4711 08:01:1234567 120 120` */
const LOCK = /^\d+: POSIX +\S+ +(?:READ|WRITE) +(\d+) +\S+:(\d+) +(\d+) +(\d+|EOF)$/

/** Who else keeps a file from being written. Linux says so; elsewhere, and of other containers, nobody is known. */
export const whoLocks = (path: string): Promise<Holder[]> => holdersOf(path, WRITER, WRITER)

/** Who else reads an old state of the file, so that its write-ahead log cannot be moved into it. */
export const whoReads = (path: string): Promise<Holder[]> => holdersOf(path, READERS.first, READERS.last)

async function holdersOf(path: string, first: number, last: number): Promise<Holder[]> {
  const pids = new Set<number>()
  try {
    const inodes = await Promise.all([inodeOf(path), inodeOf(`${targetOf(path)}-shm`)])
    const locks = await readFile('/proc/locks', 'utf8')
    for (const line of locks.split('\n')) {
      const [, pid, inode, from, to] = LOCK.exec(line) ?? []
      // On the file itself there is a lock of everybody who has it open: an exclusive one says so by its kind.
      const isOnIndex = inode === inodes[1] && Number(from) <= last && Number(to) >= first
      const isOnFile = inode === inodes[0] && line.includes('WRITE')
      if ((isOnIndex || isOnFile) && Number(pid) !== process.pid) pids.add(Number(pid))
    }
  } catch {
    // Not Linux, or not to be seen from here.
  }
  return Promise.all([...pids].map(async (pid) => ({ pid, program: await programOf(pid) })))
}

const inodeOf = async (path: string): Promise<string> => String((await stat(path)).ino)

/** Its name alone: what it was called with may be secret. */
const programOf = (pid: number): Promise<string> =>
  readFile(`/proc/${pid}/cmdline`, 'utf8').then(
    (text) => basename(text.split('\0')[0] ?? ''),
    () => 'unknown',
  )
