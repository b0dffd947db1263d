import { spawnSync } from 'node:child_process'
import { appendFileSync, statfsSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { PATH } from '../suite/needs.ts'
import { ownFolder } from '../processes/service.ts'

/** A disk that is soon full: a file system in memory. */
export interface SmallDisk {
  folder: string
  /** Leaves about this many bytes free. */
  fill(free: number): void
  /** Frees what `fill` has used. */
  empty(): Promise<void>
}

const MIB = 1024 * 1024
const mounts = new Set<string>()

const system = (...command: [string, ...string[]]): boolean =>
  spawnSync(command[0], command.slice(1), { env: { PATH } }).status === 0

export async function smallDisk(bytes: number): Promise<SmallDisk> {
  const folder = await ownFolder()
  if (!system('mount', '-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'tokenledger-test', folder)) {
    throw new Error(`${folder} could not be mounted`)
  }
  mounts.add(folder)
  const ballast = join(folder, 'ballast')
  return {
    folder,
    fill(free) {
      writeFileSync(ballast, '')
      const { bavail, bsize } = statfsSync(folder)
      // It writes in pieces, until nothing is missing, since others write meanwhile.
      for (let missing = bavail * bsize - free; missing > 0; missing -= MIB) {
        try {
          appendFileSync(ballast, Buffer.alloc(Math.min(MIB, missing)))
        } catch {
          return
        }
      }
    },
    empty: () => rm(ballast, { force: true }),
  }
}

/** For `afterEach`, after the services have ended. */
export function endSmallDisks(): void {
  for (const folder of mounts) system('umount', '--lazy', folder)
  mounts.clear()
}
