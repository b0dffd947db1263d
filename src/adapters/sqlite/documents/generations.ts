import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { crc32 } from 'node:zlib'

/**
 * The files of a read model. The first generation is in the file that the setting names; each later one has a file of
 * its own beside it, `<file>.g2` and so on. So another process can fill it without disturbing the writer of the live
 * file, and the old one can be removed at once. `<file>.live` says which generation is live; it is missing while that
 * is the first. `<file>.offer` names a complete generation that was handed over: the service, which holds the lock of
 * `<file>`, should switch to it.
 */

const POINTERS = { live: '.live', offer: '.offer' } as const
type Pointer = keyof typeof POINTERS

export type Generations = ReturnType<typeof generationsOf>

/** @param path the file that the setting names. It may not exist yet */
export function generationsOf(path: string) {
  /** The file of a generation, from 1 on. */
  const fileOf = (generation: number): string => (generation === 1 ? path : `${path}.g${generation}`)
  const asideOf = (generation: number): string => `${fileOf(generation)}.aside`

  /**
   * A pointer that is damaged, or names a missing file, is ignored: then the first generation is filled from the log
   * again.
   */
  function live(): number {
    const generation = readPointer(path, 'live') ?? 1
    return existsSync(fileOf(generation)) ? generation : 1
  }

  /** Removes the files of one generation. The lock of the first one stays, since it is that of the whole read model. */
  async function remove(generation: number, { keepLock = generation === 1 } = {}): Promise<void> {
    const file = fileOf(generation)
    const endings = ['', '-wal', '-shm', '-journal', '.seal', ...(keepLock ? [] : ['.lock', '.lock-journal'])]
    await Promise.all(endings.map((ending) => rm(file + ending, { force: true })))
  }

  const removeAside = (generation: number): Promise<void> => rm(asideOf(generation), { force: true })

  /** All generations of which some file exists. */
  async function all(): Promise<Set<number>> {
    const names = await readdir(dirname(path)).catch(() => [])
    const found = names.map((name) => generationIn(name, path))
    return new Set(found.filter((generation) => generation !== null))
  }

  return {
    path,
    fileOf,
    live,
    liveFile: (): string => fileOf(live()),
    all,
    remove,
    removeAside,

    /** The number of the next generation. No pointer names it yet, so that nobody uses it while it is filled. */
    next: (): number => Math.max(readPointer(path, 'live') ?? 1, live()) + 1,

    /** The complete generation that was handed over; null if there is none. */
    offered: (): number | null => readPointer(path, 'offer'),
    pointLive: (generation: number): void => writePointer(path, 'live', generation),
    pointOffer: (generation: number): void => writePointer(path, 'offer', generation),
    withdrawOffer: (): void => rmSync(path + POINTERS.offer, { force: true }),

    /** Removes all generations before the live one. Only the holder of the lock may call it. */
    async removeOlder(): Promise<void> {
      const latest = live()
      for (const generation of await all()) {
        if (generation >= latest) continue
        await remove(generation)
        await removeAside(generation)
      }
    },

    /**
     * Renames a damaged file, so that nobody uses it again. A file that was set aside earlier is overwritten.
     * @returns the new name
     */
    async setAside(generation: number): Promise<string> {
      const name = asideOf(generation)
      await rename(fileOf(generation), name)
      await remove(generation, { keepLock: true })
      return name
    },
  }
}

function generationIn(name: string, path: string): number | null {
  if (name === basename(path)) return 1
  const prefix = `${basename(path)}.g`
  const [, number] = name.startsWith(prefix) ? (/^(\d+)/.exec(name.slice(prefix.length)) ?? []) : []
  return number === undefined ? null : Number(number)
}

function readPointer(path: string, pointer: Pointer): number | null {
  try {
    const [, number, crc] =
      /^(\d{1,9}) ([0-9a-f]{1,8})\n$/.exec(readFileSync(path + POINTERS[pointer], 'utf8')) ?? []
    return number !== undefined && crc === crcOf(number) ? Number(number) : null
  } catch {
    return null
  }
}

/** Replaces the pointer in one step, so that after a crash there is either the old or the new one. */
function writePointer(path: string, pointer: Pointer, generation: number): void {
  const text = `${generation} ${crcOf(String(generation))}\n`
  const [target, written] = [path + POINTERS[pointer], `${path}${POINTERS[pointer]}.new`]
  const file = openSync(written, 'w', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
    renameSync(written, target)
  } catch (error) {
    rmSync(written, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
}

const crcOf = (text: string): string => crc32(text).toString(16)
