import type { ActionDocument } from '../../../projections/tokenActivity.ts'
import type { TokenDocument } from '../../../projections/tokens.ts'

/** How often, and the first and last hour (their starts) that it came in. */
export interface SeenRequests {
  requests: number
  firstHour: string
  lastHour: string
}

export type SeenCaller = SeenRequests & { text: string | null }
export type SeenRoute = SeenRequests & { method: string; route: string; outcomes: Record<string, number> }

/**
 * The rows that are told apart, most requests first, and how many requests are not in them, with the first and last
 * hour that one of those came in: whoever uses many names must not hide when.
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
  /** How many were told apart. */
  addresses: number
  userAgents: number
}

/** Everything that a token did from a time on. Counted by the hour: the hour that `since` lies in counts whole. */
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
  /** Requests where tokens are managed; they are not in `routes`. */
  management: Listed<SeenRoute>
  /** What it caused in the life of tokens, oldest first: `total` are more than `data` where that is long. */
  events: { total: number; data: ActionDocument[] }
  /** Those with a use, oldest first; the oldest of very many are added up in `earlier`. */
  hours: HourOfActivity[]
  earlier: { hours: number; requests: number }
}
