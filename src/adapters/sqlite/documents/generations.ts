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
import { basename, dirname, join } from 'node:path'
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

/** The file of a generation, from 1 on. */
export const fileOf = (path: string, generation: number): string =>
  generation === 1 ? path : `${path}.g${generation}`

/** The live file of the read model that the setting names. It may not exist yet. */
export const liveFile = (path: string): string => fileOf(path, liveGeneration(path))

/**
 * A pointer that is damaged, or names a missing file, is ignored: then the first generation is filled from the log
 * again.
 */
export function liveGeneration(path: string): number {
  const generation = readPointer(path, 'live') ?? 1
  return existsSync(fileOf(path, generation)) ? generation : 1
}

/** The number of the next generation. No pointer names it yet, so that nobody uses it while it is filled. */
export const nextGeneration = (path: string): number =>
  Math.max(readPointer(path, 'live') ?? 1, liveGeneration(path)) + 1

export const offeredGeneration = (path: string): number | null => readPointer(path, 'offer')

export const pointLive = (path: string, generation: number): void => writePointer(path, 'live', generation)
export const pointOffer = (path: string, generation: number): void => writePointer(path, 'offer', generation)

export function withdrawOffer(path: string): void {
  rmSync(path + POINTERS.offer, { force: true })
}

/** Removes the files of one generation. The lock of the first one stays, since it is that of the whole read model. */
export async function removeGeneration(
  path: string,
  generation: number,
  { keepLock = generation === 1 } = {},
): Promise<void> {
  const file = fileOf(path, generation)
  const endings = ['', '-wal', '-shm', '-journal', '.seal', ...(keepLock ? [] : ['.lock', '.lock-journal'])]
  await Promise.all(endings.map((ending) => rm(file + ending, { force: true })))
}

/** Removes all generations before the live one. Only the holder of the lock may call it. */
export async function removeOlder(path: string): Promise<void> {
  const live = liveGeneration(path)
  for (const generation of await generationsOf(path)) {
    if (generation >= live) continue
    await removeGeneration(path, generation)
    await removeAside(path, generation)
  }
}

/** All generations of which some file exists. */
export async function generationsOf(path: string): Promise<Set<number>> {
  const names = await readdir(dirname(path)).catch(() => [])
  const found = names.map((name) => generationOf(join(dirname(path), name), path))
  return new Set(found.filter((generation) => generation !== null))
}

/**
 * Renames a damaged file, so that nobody uses it again. A file that was set aside earlier is overwritten.
 * @returns the new name
 */
export async function setAside(path: string, generation: number): Promise<string> {
  const name = asideOf(path, generation)
  await rename(fileOf(path, generation), name)
  await removeGeneration(path, generation, { keepLock: true })
  return name
}

export const removeAside = (path: string, generation: number): Promise<void> =>
  rm(asideOf(path, generation), { force: true })

const asideOf = (path: string, generation: number): string => `${fileOf(path, generation)}.aside`

function generationOf(file: string, path: string): number | null {
  if (basename(file) === basename(path)) return 1
  const prefix = `${basename(path)}.g`
  const [, number] = basename(file).startsWith(prefix)
    ? (/^(\d+)/.exec(basename(file).slice(prefix.length)) ?? [])
    : []
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
