import { readFileSync } from 'node:fs'

/**
 * The longest time for which one turn held the event loop of this process during `work`, in milliseconds of processor
 * time, so that other programs do not count. It is the least of several rounds, since a round may include a garbage
 * collection.
 */
export async function longestTurn(work: () => Promise<unknown>, rounds = 3): Promise<number> {
  const found: number[] = []
  for (let round = 0; round < rounds; round++) found.push(await longestTurnOf(work))
  return Math.min(...found)
}

async function longestTurnOf(work: () => Promise<unknown>): Promise<number> {
  let longest = 0
  let going = true
  let before = processorTime()
  function look(): void {
    const now = processorTime()
    longest = Math.max(longest, now - before)
    before = now
    if (going) setImmediate(look)
  }
  setImmediate(look)
  await work()
  going = false
  return longest
}

/**
 * The time of the processor that was used so far, in milliseconds. A busy machine makes no difference to it. It is the
 * time of this thread if the system shows it, since other threads work on SQLite's files and collect garbage.
 */
export function processorTime(): number {
  if (process.platform === 'linux') {
    const [nanoseconds] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')
    return Number(nanoseconds) / 1e6
  }
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
