import type { HistoryDocument } from '../../projections/tokenHistory.ts'
import { presentEvent } from './tokens.ts'

/** An event as the history of its token shows it, and whose it is: for feeds, and for who is told of events. */
export const presentFeedEvent = (event: HistoryDocument) => ({
  ...presentEvent(event),
  token_id: event.tokenId,
  account_id: event.accountId,
})
