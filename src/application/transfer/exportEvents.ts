import { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { placeOf, productEvents } from '../eventLog/productEvents.ts'
import { createCheck } from './check.ts'
import { createSum, lastLineOf, lineOf, type Sum } from './file.ts'
import { createRolledUpDays, usageOf } from '../retention/rolledUpDays.ts'

export interface Exported extends Sum {
  /**
   * How many events were left out. These are the rests of usage streams that retention is removing, whose uses are all
   * rolled up. No store can import a stream that begins in the middle.
   */
  leftOut: number
  /**
   * Usage streams whose first events retention has taken, but whose other events are not all rolled up. They are in the
   * file, and so the file cannot be imported.
   */
  shortened: string[]
}

/** How much text is written at once: as much as the buffer of a pipe holds on most systems. */
const WRITE_CHARACTERS = 64 * 1024

/**
 * Writes all events of the product, up to the newest one that the store has now.
 * @param write resolves when it can take more
 * @param onProgress gets the number of events written so far
 * @throws DamagedError that names the event which is not what was written; Error if retention took events meanwhile, so
 *   that the export has to be repeated. What was written until then is not a whole file.
 */
export async function exportEvents(
  store: EventStore,
  write: (text: string) => Promise<void>,
  onProgress: (events: number) => void = () => {},
): Promise<Exported> {
  const days = createRolledUpDays(store)
  await days.refresh()
  // Asked for after the days were read, so that the events of all these roll-ups are in the file.
  const end = (await store.head()) ?? ''
  const cut = new Map<string, 'rolled up' | 'not rolled up'>()
  const check = createCheck((stream) => cut.set(stream, 'rolled up'))
  const sum = createSum()
  let [text, events, leftOut] = ['', 0, 0]

  function isLeftOut(event: StoredEvent): boolean {
    if (cut.get(event.stream) !== 'rolled up') return false
    const usage = usageOf(event)
    if (usage && [...usage.days].every((day) => days.covers(day, event))) return true
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

/** Roll-ups that were written meanwhile are not in the file. So the events that they cover must all be in it. */
async function assertNothingDropped(store: EventStore, rolledUp: ReadonlySet<string>): Promise<void> {
  for (const stream of rolledUp) {
    const [first] = await store.readStream(stream, 0, 1)
    if (first?.revision !== 0)
      throw new Error('Retention took events while they were exported: export again.')
  }
}
