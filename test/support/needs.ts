import { spawnSync } from 'node:child_process'
import type { Suite } from 'mocha'

/** Where Debian keeps servers, which not every shell looks through. */
export const PATH = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`

interface Needs {
  /** Called with this argument it must succeed. */
  argument: string
  /** Whether a machine without it fails the suite. */
  required: boolean
  /** How to have it. */
  remedy?: string
}

/** A suite that needs to mount, which takes rights that not every machine gives: left out as below. */
export function describeWithMounts(title: string, suite: (this: Suite) => void): void {
  describeWith('unshare', { argument: '--mount', required: isRoot, remedy: 'run as root' }, title, suite)
}

const isRoot = process.env.CI === 'true' && process.platform === 'linux' && process.getuid?.() === 0

/**
 * A suite that needs a program which is no dependency of the project. Without the program it is left out by one test
 * that says so: a skipped test would fail every run, since `forbid-pending` is on.
 */
export function describeWith(
  program: string,
  { argument, required, remedy }: Needs,
  title: string,
  suite: (this: Suite) => void,
): void {
  if (spawnSync(program, [argument], { env: { PATH } }).status === 0) {
    describe(title, suite)
    return
  }
  describe(title, () => {
    it(`is left out: there is no ${program} on this machine${remedy ? `; ${remedy}` : ''}`, () => {
      if (required) throw new Error(`${program} is missing, and this machine must have it`)
    })
  })
}
