import type { ActionDocument } from '../../../projections/tokenActivity.ts'
import type { TokenDocument } from '../../../projections/tokens.ts'

/** How many requests there were, and the start of the first and of the last hour with one of them. */
export interface SeenRequests {
  requests: number
  firstHour: string
  lastHour: string
}

export type SeenCaller = SeenRequests & { text: string | null }
export type SeenRoute = SeenRequests & { method: string; route: string; outcomes: Record<string, number> }

/**
 * Rows with a name of their own, most requests first; and the number of requests that are in none of them, with the
 * first and the last hour of those. So even somebody who uses very many names cannot hide when that was.
 */
export interface Listed<T> {
  data: T[]
  other: number
  otherHours: { first: string; last: string } | null
}

export interface HourOfActivity {
  at: string
  requests: number
  outcomes: Record<string, number>
  /** How many different ones are known by name. */
  addresses: number
  userAgents: number
}

/** Everything that a token did from a time on. It is counted by the hour, so the hour of `since` counts as a whole. */
export interface BlastRadius {
  token: TokenDocument
  since: string
  to: string
  firstAt: string | null
  lastAt: string | null
  requests: number
  outcomes: Record<string, number>
  addresses: Listed<SeenCaller>
  userAgents: Listed<SeenCaller>
  routes: Listed<SeenRoute>
  /** Requests to the routes that manage tokens. They are not in `routes`. */
  management: Listed<SeenRoute>
  /**
   * The events of tokens' lives that it caused, oldest first. `total` counts all of them, `data` has only the first.
   */
  events: { total: number; data: ActionDocument[] }
  /** The hours with a use, oldest first. If there are very many, the oldest are added up in `earlier`. */
  hours: HourOfActivity[]
  earlier: { hours: number; requests: number }
}
