import { type ActionDocument, type ActivityDocument, activityId } from '../../../projections/tokenActivity.ts'
import type { TokenDocument } from '../../../projections/tokens.ts'
import { bucketStart } from '../../../projections/tokenUsage.ts'
import type { BlastRadius } from './activity.ts'
import { createFold } from './activityFold.ts'
import { eachDocument } from '../readModel/pages.ts'
import { type Clock, iso } from '../ports/clock.ts'
import type { Condition } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'

export interface BlastRadiusOptions {
  /** Gets the number of hours with a use that were read so far. */
  onProgress?: (hours: number) => void
  /** Ends the work, since nobody waits for the answer any more. */
  signal?: AbortSignal | undefined
}

export interface BlastRadiusQueries {
  /** @param since RFC 3339 UTC; null: from the token's creation */
  blastRadius(token: TokenDocument, since: string | null, options?: BlastRadiusOptions): Promise<BlastRadius>
}

/** How many events are listed. */
const EVENTS = 100
/** Counting events stops here. */
const COUNTED_EVENTS = 1_000_000
/** How many hours are read at a time: few, since the document of one hour may have 100 KB. */
const PAGE = 25

export function createBlastRadiusQuery(readModel: DocumentReader, clock: Clock): BlastRadiusQueries {
  return {
    async blastRadius(token, since, { onProgress = () => {}, signal } = {}) {
      const from = since ?? token.createdAt
      const firstHour = bucketStart(from, 'hour')
      const found = createFold()
      let read = 0
      const ofToken: Condition[] = [
        { field: 'id', op: 'gte', value: activityId(token.id, firstHour) },
        { field: 'id', op: 'lt', value: activityId(token.id, '~') },
      ]
      const walk = { where: ofToken, page: PAGE, signal }
      for await (const hour of eachDocument<ActivityDocument>(readModel, 'tokenActivity', walk)) {
        found.add(hour)
        onProgress(++read)
      }
      const caused: Condition[] = [
        { field: 'actorId', op: 'eq', value: token.id },
        { field: 'at', op: 'gte', value: firstHour },
      ]
      const first = { where: caused, order: { field: 'at' }, limit: EVENTS }
      const events = await readModel.find('tokenActions', first, signal)
      return {
        token,
        since: from,
        to: iso(clock()),
        ...found.result(),
        events: {
          total: await readModel.count('tokenActions', caused, COUNTED_EVENTS, signal),
          data: events as unknown[] as ActionDocument[],
        },
      }
    },
  }
}
