import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { NoRoomError } from './errors.ts'

const MIB = 1024 * 1024
/** What a rebuild leaves free for those who cannot wait: of a small disk its twentieth part. */
const RESERVE = { bytes: 64 * MIB, part: 20 }

/** Bytes beside a file that may be used without taking the last of them from the service. */
export function roomBeside(file: string): number {
  const { bavail, blocks, bsize } = statfsSync(dirname(file))
  return bavail * bsize - Math.min(RESERVE.bytes, (blocks * bsize) / RESERVE.part)
}

/** @throws NoRoomError so much more would fill the disk */
export function assertRoom(file: string, needed: number): void {
  const room = roomBeside(file)
  if (room >= needed) return
  const [wanted, there] = [needed, Math.max(0, room)].map((bytes) => `${Math.ceil(bytes / MIB)} MiB`)
  throw new NoRoomError(`${file} needs about ${wanted} more, and the disk has ${there} to spare`)
}
