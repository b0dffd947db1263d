import type { Queued } from '../../../application/ports/sharing.ts'
import type { Reservations } from '../../../application/ports/readModel.ts'

type Entry = Queued & { until: number }

/** The reservations of a read model that belongs to one process. They are in memory, and end with the process. */
export function createReservations(): Reservations {
  const queues = new Map<string, Entry[]>()

  function entriesOf(key: string): Entry[] {
    const now = performance.now()
    return (queues.get(key) ?? []).filter(({ until }) => until > now)
  }

  function keep(key: string, entries: Entry[]): void {
    if (entries.length > 0) queues.set(key, entries)
    else queues.delete(key)
  }

  return {
    async reserve(key, { id, holds, ttlMs }) {
      const entries = entriesOf(key)
      if (!entries.some((one) => one.id === id)) entries.push({ id, holds, until: performance.now() + ttlMs })
      keep(key, entries)
      return entries
    },
    queue: async (key) => entriesOf(key),
    async release(key, id) {
      const left = entriesOf(key).filter((one) => one.id !== id)
      keep(key, left)
    },
  }
}
