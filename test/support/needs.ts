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
 * A suite that needs a program which is no dependency of the project. Without the program it is left out, as one pending
 * test that says why. The reporter takes a test that is skipped for any other reason for a failure.
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
  const missing = `there is no ${program} on this machine`
  describe(title, () => {
    if (required) {
      it('is not left out', () => {
        throw new Error(`${missing}, which must have one`)
      })
    } else {
      it(`left out: ${missing}${remedy ? `; ${remedy}` : ''}`)
    }
  })
}
