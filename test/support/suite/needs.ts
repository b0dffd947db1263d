import { spawnSync } from 'node:child_process'
import type { Suite } from 'mocha'

/** Includes the folders in which Debian keeps servers, which not every shell searches. */
export const PATH = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`

interface Needs {
  /** Called with this argument, the program must succeed. */
  argument: string
  /** Does the suite fail on a machine without the program? */
  required: boolean
  /** How to get the program. */
  remedy?: string
}

/**
 * A suite that needs to mount file systems, which not every machine allows. It is left out in the same way as below.
 */
export function describeWithMounts(title: string, suite: (this: Suite) => void): void {
  describeWith('unshare', { argument: '--mount', required: isRoot, remedy: 'run as root' }, title, suite)
}

const isRoot = process.env.CI === 'true' && process.platform === 'linux' && process.getuid?.() === 0

/**
 * A suite that needs a program which is not a dependency of the project. Without the program the suite is left out, as
 * one pending test that says why. The reporter treats any other skipped test as a failure.
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
