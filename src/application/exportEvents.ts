import { DamagedError } from '../domain/errors.ts'
import type { EventStore } from './ports.ts'
import { placeOf, productEvents } from './productEvents.ts'
import { createCheck } from './transferCheck.ts'
import { createSum, lastLineOf, lineOf, type Sum } from './transferFile.ts'

export interface Exported extends Sum {
  /** Usage streams whose first events retention has taken. A file with one of them cannot be imported. */
  shortened: string[]
}

/** As large as a pipe's buffer is on most systems. */
const WRITE_CHARACTERS = 64 * 1024

/**
 * Writes all events of the product up to the newest that the store has now; what comes later is left for the next.
 * @param write resolves when it takes more
 * @param told how many events were written so far
 * @throws DamagedError naming the event that is not what was written; what was written by then is no whole file
 */
export async function exportEvents(
  store: EventStore,
  write: (text: string) => Promise<void>,
  told: (events: number) => void = () => {},
): Promise<Exported> {
  const shortened: string[] = []
  const check = createCheck((stream) => shortened.push(stream))
  const sum = createSum()
  let [text, events] = ['', 0]
  const end = (await store.head()) ?? ''
  for await (const batch of productEvents(store, end)) {
    for (const event of batch) {
      const line = lineOf(event)
      const wrong = check(event, Buffer.byteLength(line))
      if (wrong !== null) throw new DamagedError(`${placeOf(event)} cannot be exported: ${wrong}.`)
      sum.add(line)
      text += line
    }
    told((events += batch.length))
    if (text.length < WRITE_CHARACTERS) continue
    await write(text)
    text = ''
  }
  const result = sum.result()
  await write(text + lastLineOf(result))
  return { ...result, shortened }
}
