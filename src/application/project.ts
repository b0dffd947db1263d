import { setTimeout as sleep } from 'node:timers/promises'
import type { Change, Projection } from '../../projections/projection.ts'
import { stopToken } from '../../projections/tokens.ts'
import { DamagedError } from '../domain/errors.ts'
import { type StoredEvent, TOKEN_STREAM, USAGE_STREAM } from '../domain/events.ts'
import { upcast } from '../domain/upcast.ts'
import { createInspector } from './inspect.ts'
import type { EventStore, ReadModel, Telemetry } from './ports.ts'

const RETRY_MS = { first: 50, longest: 2000 }

export interface Projector {
  /** Applies events to the read model, whoever else applies them too. A command calls this with its own events. */
  apply(events: readonly StoredEvent[]): Promise<void>
  /** Starts following the log; resolves when the read model has caught up with the log as it is now. */
  start(): Promise<void>
  stop(): Promise<void>
  /** Seconds since the read model was last known to be level with the log; 0 while it is. */
  lag(): number
}

interface Dependencies {
  store: EventStore
  readModel: ReadModel
  projections: readonly Projection[]
  telemetry: Telemetry
  /** Called after tokens have changed in the read model, before anyone is told that they have. */
  onChanged: (tokenIds: ReadonlySet<string>) => void
}

export function createProjector({
  store,
  readModel,
  projections,
  telemetry,
  onChanged,
}: Dependencies): Projector {
  const inspect = createInspector(store)
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let behindSince: number | null = null

  /** The one function that turns events into documents, for the loop and for commands alike. */
  async function apply(events: readonly StoredEvent[], checkpoint?: string): Promise<void> {
    const started = performance.now()
    const changes: Change[] = []
    const changed = new Set<string>()
    for (const event of events) {
      const isLifecycle = event.stream.startsWith(TOKEN_STREAM)
      if (isLifecycle && event.revision > 0) changed.add(event.stream.slice(TOKEN_STREAM.length))
      // Awaited only when the answer needs the store: most events are judged from what is already here.
      const judged = inspect(event)
      const damage = judged instanceof Promise ? await judged : judged
      const read = upcast(event)
      if (damage ?? read.kind === 'unknown-version') {
        const reason = damage ?? `unknown version of ${event.type}`
        telemetry.damaged(damage ? 'chain' : 'version')
        telemetry.log.error({ stream: event.stream, revision: event.revision, reason }, 'event refused')
        if (isLifecycle) changes.push(stopToken(event, reason))
      } else if (read.kind === 'unknown-type') {
        telemetry.damaged('type')
      } else if (read.kind === 'event') {
        for (const projection of projections) {
          if (projection.events.includes(read.event.type)) changes.push(...projection.project(read.event))
        }
      }
    }
    await readModel.apply(
      changes,
      checkpoint === undefined ? undefined : { position: checkpoint, of: projections, term: 1 },
    )
    if (changed.size > 0) onChanged(changed)
    telemetry.projected((performance.now() - started) / 1000, events.length)
  }

  async function applyUntilDone(events: readonly StoredEvent[], checkpoint: string): Promise<void> {
    for (let pause = RETRY_MS.first; ; pause = Math.min(pause * 2, RETRY_MS.longest)) {
      try {
        return await apply(events, checkpoint)
      } catch (err) {
        // An outage ends; what is damaged stays so.
        if (err instanceof DamagedError) throw err
        telemetry.log.warn({ err, checkpoint }, 'projection failed, trying again')
        await sleep(pause * (0.5 + Math.random() / 2), undefined, { signal: stopping.signal })
      }
    }
  }

  /** @param from where the slowest projection stands: the guards make the others' second pass a no-op. */
  async function follow(from: string | null, onCaughtUp: () => void): Promise<void> {
    for await (const batch of store.subscribe(from, [TOKEN_STREAM, USAGE_STREAM], stopping.signal)) {
      behindSince ??= performance.now()
      const last = batch.events.at(-1)
      if (last) await applyUntilDone(batch.events, last.position)
      if (batch.caughtUp) {
        behindSince = null
        onCaughtUp()
      }
    }
  }

  return {
    apply: (events) => apply(events),

    async start() {
      await readModel.open(projections)
      const checkpoints = await Promise.all(projections.map((projection) => readModel.checkpoint(projection)))
      const from = checkpoints.reduce((a, b) => (a === null || b === null ? null : a < b ? a : b))
      await assertNotAhead(store, checkpoints)
      await new Promise<void>((resolve, reject) => {
        running = follow(from, resolve).catch((error: unknown) => {
          if (!stopping.signal.aborted) {
            // From here on it falls behind, and whoever asks for the lag is told so.
            behindSince ??= performance.now()
            telemetry.log.error({ err: error }, 'projector ended')
            reject(error)
          }
        })
      })
    },

    async stop() {
      stopping.abort()
      await running
    },

    lag: () => (behindSince === null ? 0 : (performance.now() - behindSince) / 1000),
  }
}

/** A log that ends before a checkpoint was restored from a backup or replaced: projecting on would skip events. */
async function assertNotAhead(store: EventStore, checkpoints: readonly (string | null)[]): Promise<void> {
  const newest = checkpoints.reduce((a, b) => (a === null || (b !== null && b > a) ? b : a))
  const head = await store.head()
  if (newest !== null && (head === null || head < newest)) {
    throw new Error(
      'The read model is ahead of the event store: the log was reset or restored. Delete the read model to rebuild it.',
    )
  }
}
