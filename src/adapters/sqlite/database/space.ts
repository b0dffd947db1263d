import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { NoRoomError } from './errors.ts'

const MIB = 1024 * 1024
/** What a rebuild leaves free for the service: a twentieth of the disk, but no more than 64 MiB. */
const RESERVE = { bytes: 64 * MIB, part: 20 }

/** How many bytes may be used on the disk of a file, without the reserve for the service. */
export function roomBeside(file: string): number {
  const { bavail, blocks, bsize } = statfsSync(dirname(file))
  return bavail * bsize - Math.min(RESERVE.bytes, (blocks * bsize) / RESERVE.part)
}

/** @throws NoRoomError if so many more bytes would use up the disk */
export function assertRoom(file: string, needed: number): void {
  const room = roomBeside(file)
  if (room >= needed) return
  const [wanted, there] = [needed, Math.max(0, room)].map((bytes) => `${Math.ceil(bytes / MIB)} MiB`)
  throw new NoRoomError(`${file} needs about ${wanted} more, and the disk has ${there} to spare`)
}
