import { type SqlRow, toBytes } from '../database/database.ts'

/** The greatest number of rows of a page. */
const MOST_ROWS = 100
/** How large a page should be. More would hold the event loop for too long, since a page is read and parsed at once. */
const WANTED_BYTES = 256 * 1024

/** How many rows a reader takes at once. Events differ in size, and those behind a page are mostly like those in it. */
export interface PageSize {
  rows(): number
  /** To be called with each page that was read. */
  learn(page: readonly SqlRow[]): void
}

export function createPageSize(): PageSize {
  let most = MOST_ROWS
  return {
    rows: () => most,
    learn(page) {
      if (page.length === 0) return
      const bytes = page.reduce((sum, row) => sum + toBytes(row.lineBytes).length, 0)
      most = Math.max(1, Math.min(MOST_ROWS, Math.floor((WANTED_BYTES * page.length) / bytes)))
    },
  }
}
