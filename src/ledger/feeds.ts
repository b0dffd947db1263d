import { createFeed } from '../application/feed/feed.ts'
import { createFeedWatch } from '../application/feed/watch.ts'
import type { Logger } from '../application/ports/telemetry.ts'
import type { ReadModel } from '../application/ports/readModel.ts'
import type { Projector } from '../application/projection/projector.ts'
import type { StoredEvent } from '../domain/events.ts'
import type { Sharing } from './sharing.ts'

export type Feeds = ReturnType<typeof createFeeds>

/** Everything that follows what happens to tokens. */
export function createFeeds(
  readModel: ReadModel,
  sharing: Sharing,
  projector: Pick<Projector, 'apply'>,
  log: Logger,
) {
  /** Whoever follows takes what is there. Whoever asks gets what there was when they asked. */
  const ofReadModel = createFeed(readModel)
  const feed = { ...ofReadModel, ...sharing.questions({ read: ofReadModel.read }) }
  const watch = createFeedWatch(ofReadModel, log)
  return {
    ofReadModel,
    feed,
    watch,
    /** Applies events of a token's life that this process has written, so that followers have them at once. */
    async project(events: readonly StoredEvent[]): Promise<void> {
      await projector.apply(events)
      ofReadModel.applied(events)
      watch.look()
    },
  }
}
