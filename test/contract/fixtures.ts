import { randomUUID } from 'node:crypto'
import type { NewEvent } from '../../src/domain/events.ts'

/** An event like those of the product. Its data may be anything, since a store does not interpret them. */
export function makeEvent(data: Record<string, unknown> = { reason: null }): NewEvent {
  const id = randomUUID()
  const metadata = {
    at: '2026-11-02T10:00:00.000Z',
    actor: { kind: 'jwt', id: 'account-1' },
    requestId: id,
    correlationId: id,
    schemaVersion: 1,
    chain: '0'.repeat(64),
  }
  return { id, type: 'TokenRevoked', data, metadata } as NewEvent
}

/** Returns what a promise is rejected with. If it is not rejected, the test fails. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error('expected a rejection')
}
