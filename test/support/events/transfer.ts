import { exportEvents } from '../../../src/application/transfer/exportEvents.ts'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'

/** A file as it is read, in pieces that end anywhere. */
export async function* chunked(file: string | Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(file)
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size)
}

export async function fileOf(store: EventStore): Promise<string> {
  let file = ''
  await exportEvents(store, async (text) => void (file += text))
  return file
}
