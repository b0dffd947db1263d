import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/**
 * From now on this process, all its threads, has one core less than it may use, if it may use several. A low priority
 * alone does not do: whoever wakes while both of two cores are busy waits up to a tick of the scheduler (4 ms) now and
 * then. Linux alone, by its own tool, since Node has no call for it; without that nothing happens.
 */
export function leaveACore(): void {
  const cores = coresOf(ownStatus())
  if (cores.length < 2) return
  const others = cores.slice(1).join(',')
  spawnSync('taskset', ['-a', '-c', '-p', others, String(process.pid)], { stdio: 'ignore' })
}

function ownStatus(): string {
  try {
    return readFileSync('/proc/self/status', 'utf8')
  } catch {
    return ''
  }
}

/** Those that a thread may run on, of its status file: `Cpus_allowed_list: 0-3,8`. */
export function coresOf(status: string): number[] {
  const [, list] = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status) ?? []
  const ranges = list?.split(',') ?? []
  return ranges.flatMap((range) => {
    const [from = 0, to = from] = range.split('-').map(Number)
    return Array.from({ length: to - from + 1 }, (_, n) => from + n)
  })
}
