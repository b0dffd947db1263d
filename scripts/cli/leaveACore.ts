import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/**
 * From now on, all threads of this process use one core less than they may, if they may use several. A low priority is
 * not enough: on two busy cores, a service that wakes up sometimes waits for a tick of the scheduler (4 ms). This works
 * on Linux only, with its tool `taskset`, since Node has no call for it. Without the tool nothing happens.
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

/** The cores that a thread may run on, by the line `Cpus_allowed_list: 0-3,8` of its status file. */
export function coresOf(status: string): number[] {
  const [, list] = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status) ?? []
  const ranges = list?.split(',') ?? []
  return ranges.flatMap((range) => {
    const [from = 0, to = from] = range.split('-').map(Number)
    return Array.from({ length: to - from + 1 }, (_, n) => from + n)
  })
}
