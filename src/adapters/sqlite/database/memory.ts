import type { Claim } from './claim.ts'
import { MEMORY } from './driver.ts'
import type { Lock } from './lock.ts'

/** A database without a file is its connection's alone: nobody else can open it, and nothing of it is on the disk. */
export const isInMemory = (path: string): boolean => path === MEMORY

export const NO_LOCK: Lock = { release() {} }

export const NO_CLAIM: Claim = {
  assertMine() {},
  isLost: () => false,
  renew() {},
  withdraw() {},
  end() {},
}
