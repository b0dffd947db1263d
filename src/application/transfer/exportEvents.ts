import { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { placeOf, productEvents } from '../eventLog/productEvents.ts'
import { createCheck } from './check.ts'
import { createSum, lastLineOf, lineOf, type Sum } from './file.ts'
import { createRolledUpDays, usageOf } from '../retention/rolledUpDays.ts'

export interface Exported extends Sum {
  /**
   * How many events were left out: what retention has left of streams it is taking, whose uses are all rolled up. A
   * store takes no stream that begins in the middle.
   */
  leftOut: number
  /**
   * Usage streams whose first events were taken, with some left that are not rolled up. They are in the file, which
   * cannot be imported.
   */
  shortened: string[]
}

/** As large as a pipe's buffer is on most systems. */
const WRITE_CHARACTERS = 64 * 1024

/**
 * Writes all events of the product up to the newest that the store has now; what comes later is left for the next.
 * @param write resolves when it takes more
 * @param onProgress how many events were written so far
 * @throws DamagedError naming the event that is not what was written; Error retention was at work, another export will
 *   do. What was written by then is no whole file.
 */
export async function exportEvents(
  store: EventStore,
  write: (text: string) => Promise<void>,
  onProgress: (events: number) => void = () => {},
): Promise<Exported> {
  const days = createRolledUpDays(store)
  await days.refresh()
  // Asked for after the days were read: what is rolled up is in the file.
  const end = (await store.head()) ?? ''
  const cut = new Map<string, 'rolled up' | 'not rolled up'>()
  const check = createCheck((stream) => cut.set(stream, 'rolled up'))
  const sum = createSum()
  let [text, events, leftOut] = ['', 0, 0]

  function isLeftOut(event: StoredEvent): boolean {
    if (cut.get(event.stream) !== 'rolled up') return false
    const usage = usageOf(event)
    if (usage && days.covers(usage.day, event)) return true
    cut.set(event.stream, 'not rolled up')
    return false
  }

  for await (const batch of productEvents(store, end)) {
    for (const event of batch) {
      const line = lineOf(event)
      const wrong = check(event, Buffer.byteLength(line))
      if (wrong !== null) throw new DamagedError(`${placeOf(event)} cannot be exported: ${wrong}.`)
      if (isLeftOut(event)) {
        leftOut++
        continue
      }
      sum.add(line)
      text += line
    }
    onProgress((events += batch.length))
    if (text.length < WRITE_CHARACTERS) continue
    await write(text)
    text = ''
  }
  await assertNothingDropped(store, await days.refresh())
  const result = sum.result()
  await write(text + lastLineOf(result))
  const shortened = [...cut].filter(([, how]) => how === 'not rolled up').map(([stream]) => stream)
  return { ...result, leftOut, shortened }
}

/** What was rolled up meanwhile is not in the file, and so nothing of it may be missing. */
async function assertNothingDropped(store: EventStore, rolledUp: ReadonlySet<string>): Promise<void> {
  for (const stream of rolledUp) {
    const [first] = await store.readStream(stream, 0, 1)
    if (first?.revision !== 0)
      throw new Error('Retention took events while they were exported: export again.')
  }
}
