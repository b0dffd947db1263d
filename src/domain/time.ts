/** Milliseconds of a day. */
export const DAY_MS = 86_400_000

/** @param at RFC 3339. @returns RFC 3339 in UTC with milliseconds */
export const secondsAfter = (at: string, seconds: number): string =>
  new Date(Date.parse(at) + seconds * 1000).toISOString()
