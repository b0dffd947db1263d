/**
 * For a race with something that can take longer than a stop may.
 * @returns a promise of false, which resolves when the signal is aborted
 */
export const untilAborted = (signal: AbortSignal): Promise<false> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(false), { once: true }))
