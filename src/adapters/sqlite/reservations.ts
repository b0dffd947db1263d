import type { ReadModel } from '../../application/ports.ts'

interface Entry {
  id: string
  holds: string
  until: number
}

/** Of a read model that belongs to one process: they end with it. */
export function createReservations(): Pick<ReadModel, 'reserve' | 'release'> {
  const queues = new Map<string, Entry[]>()

  function keep(key: string, queue: Entry[]): void {
    if (queue.length > 0) queues.set(key, queue)
    else queues.delete(key)
  }

  return {
    async reserve(key, { id, holds, ttlMs }) {
      const now = performance.now()
      const queue = (queues.get(key) ?? []).filter(({ until }) => until > now)
      if (!queue.some((one) => one.id === id)) queue.push({ id, holds, until: now + ttlMs })
      keep(key, queue)
      const place = queue.findIndex((one) => one.id === id)
      return queue.slice(0, place).map((one) => one.holds)
    },
    async release(key, id) {
      keep(
        key,
        (queues.get(key) ?? []).filter((one) => one.id !== id),
      )
    },
  }
}
