import type { HistoryDocument } from '../../../projections/tokenHistory.ts'
import type { Deliver } from './teller.ts'

/** How long the host's function may take, in milliseconds. */
const PATIENCE_MS = 15_000

/** Tells the host's own function of events. What it throws, and taking too long, is a failure. */
export function createHostDelivery<E>(
  onEvent: (event: E) => unknown,
  shown: (event: HistoryDocument) => E,
  patienceMs = PATIENCE_MS,
): Deliver {
  return async (event, signal) => {
    let end = (): void => {}
    const late = new Promise<never>((_, reject) => {
      end = () => reject(new Error(`onEvent has not ended within ${patienceMs} ms`))
    })
    const timer = setTimeout(end, patienceMs)
    signal.addEventListener('abort', end)
    try {
      await Promise.race([onEvent(shown(event)), late])
      return { kind: 'delivered' }
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
    }
  }
}
