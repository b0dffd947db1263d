import type { HistoryDocument } from '../../projections/tokenHistory.ts'
import { presentEvent, shownEvent, type TokenEvent } from './tokens.ts'

/** What happened to a token, and whose it is. */
export interface AccountEvent extends TokenEvent {
  tokenId: string
  /** Null if the beginning of the token's history cannot be read. */
  accountId: string | null
}

export const shownFeedEvent = (event: HistoryDocument): AccountEvent => ({
  ...shownEvent(event),
  tokenId: event.tokenId,
  accountId: event.accountId,
})

/** The same for the wire. */
export const presentFeedEvent = (event: HistoryDocument) => ({
  ...presentEvent(event),
  token_id: event.tokenId,
  account_id: event.accountId,
})
