import { type ActionDocument, type ActivityDocument, activityId } from '../../projections/tokenActivity.ts'
import type { TokenDocument } from '../../projections/tokens.ts'
import { bucketStart } from '../../projections/tokenUsage.ts'
import { createFold } from './activityFold.ts'
import { eachDocument } from './pages.ts'
import { type Clock, type Condition, iso, type ReadModel } from './ports.ts'

/** How often, and the first and last hour (their starts) that it came in. */
export interface Seen {
  requests: number
  firstHour: string
  lastHour: string
}

export type SeenCaller = Seen & { text: string | null }
export type SeenRoute = Seen & { method: string; route: string; outcomes: Record<string, number> }

/** The rows that are told apart, most requests first, and how many requests are not in them. */
export interface Listed<T> {
  data: T[]
  other: number
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

export interface BlastRadiusQueries {
  /**
   * @param since RFC 3339 UTC; null: from the token's creation
   * @param onProgress told how many hours with a use were read so far
   */
  blastRadius(
    token: TokenDocument,
    since: string | null,
    onProgress?: (hours: number) => void,
  ): Promise<BlastRadius>
}

const EVENTS = 100
const COUNTED_EVENTS = 1_000_000
/** Documents of an hour may be large. */
const PAGE = 100

export function createBlastRadiusQuery(readModel: ReadModel, clock: Clock): BlastRadiusQueries {
  return {
    async blastRadius(token, since, onProgress = () => {}) {
      const from = since ?? token.createdAt
      const firstHour = bucketStart(from, 'hour')
      const found = createFold()
      let read = 0
      const ofToken: Condition[] = [
        { field: 'id', op: 'gte', value: activityId(token.id, firstHour) },
        { field: 'id', op: 'lt', value: activityId(token.id, '~') },
      ]
      const hours = eachDocument<ActivityDocument>(readModel, 'tokenActivity', ofToken, PAGE)
      for await (const hour of hours) {
        found.add(hour)
        onProgress(++read)
      }
      const caused: Condition[] = [
        { field: 'actorId', op: 'eq', value: token.id },
        { field: 'at', op: 'gte', value: firstHour },
      ]
      const events = await readModel.find('tokenActions', {
        where: caused,
        order: { field: 'at' },
        limit: EVENTS,
      })
      return {
        token,
        since: from,
        to: iso(clock()),
        ...found.result(),
        events: {
          total: await readModel.count('tokenActions', caused, COUNTED_EVENTS),
          data: events as unknown[] as ActionDocument[],
        },
      }
    },
  }
}
