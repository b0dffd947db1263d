import { readFileSync } from 'node:fs'

/**
 * How long the event loop of this process was held at most by one turn of it while something was done, in milliseconds
 * of processor time: what other programs do on the machine is not in it. The least of some rounds, since a round may
 * meet the collection of garbage.
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

/** Of this thread where the system tells, since others work beside it: on the files of SQLite, on garbage. */
function processorTime(): number {
  if (process.platform === 'linux') {
    const [nanoseconds] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')
    return Number(nanoseconds) / 1e6
  }
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
