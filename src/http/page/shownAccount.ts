import type { Context } from 'koa'
import { Problem } from '../problem.ts'

/** The account that the page shows, as its script says it with each request: escaped as in a URL. */
const HEADER = 'Page-Account'

/**
 * A browser has one login, and may have several tabs. What somebody does in a tab that still shows the account before
 * must not happen in another one.
 * @throws Problem `other_account`
 */
export function assertShown(ctx: Context, accountId: string): void {
  const shown = ctx.get(HEADER)
  if (shown !== '' && shown !== encodeURIComponent(accountId))
    throw new Problem('other_account', 'Somebody else has logged in in this browser meanwhile.')
}
