import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../projections/projection.ts'
import { DamagedError } from '../domain/errors.ts'
import { type StoredEvent, STREAMS } from '../domain/events.ts'
import { type Applied, createApplier } from './applier.ts'
import { advanced, slowest, standingOf } from './changes.ts'
import { createInspector } from './inspect.ts'
import { createOwners } from './owners.ts'
import { inspectAll } from './readLog.ts'
import {
  DeposedError,
  type EventStore,
  type Lead,
  type ReadModel,
  type Standing,
  type Step,
  type Telemetry,
} from './ports.ts'

const RETRY_MS = { first: 50, longest: 2000 }
/** How often the lead is asked for, or kept. */
const ASK_MS = 1000
/** A leader that is not heard of for so long has lost the lead. */
const TTL_MS = 5000
/** A start may wait for long: how often it says so. */
const TELL_MS = 10_000

export interface Projector {
  /**
   * Applies events to the read model, whoever else applies them too. A command calls this with its own events.
   * @throws StoreUnavailableError; DamagedError one of them cannot be applied, so that its token is closed
   */
  apply(events: readonly StoredEvent[]): Promise<void>
  /**
   * Starts following the log, in turn with the other processes that share the read model: one of them leads. Resolves
   * when the read model has caught up with the log: with all of it as it is now where this process leads, else once at
   * least in the term of the process that does. What was filled earlier may be older than a revocation.
   */
  start(): Promise<void>
  /** Lets another process lead. */
  stop(): Promise<void>
  /** Seconds since the read model was last known to be level with the log; 0 while it is. */
  lag(): number
  /** Does this process follow the log? */
  leads(): boolean
}

interface Dependencies {
  store: EventStore
  readModel: ReadModel
  projections: readonly Projection[]
  telemetry: Telemetry
  /** Of this process start, among those that share the read model. */
  id: string
  /** Called after tokens have changed in the read model, before anyone is told that they have. */
  onChanged: (tokenIds: ReadonlySet<string>) => void
}

export function createProjector({
  store,
  readModel,
  projections,
  telemetry,
  id,
  onChanged,
}: Dependencies): Projector {
  const inspect = createInspector(store)
  const { laterOwner } = createOwners(store, readModel)
  const applier = createApplier({ target: readModel, projections, telemetry, laterOwner })
  /** Whoever fills the same versions of the same projections takes turns; other versions are filled beside. */
  const group = projections.map(({ name, version }) => `${name}_v${version}`).join(' ')
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let term: number | null = null
  let level = false
  let behindSince: number | null = performance.now()

  /** The one function that turns events into documents, for the loop and for commands alike. */
  async function apply(events: readonly StoredEvent[], step?: Step): Promise<Applied> {
    const started = performance.now()
    const applied = await applier.apply(events, await inspectAll(inspect, events), step)
    if (applied.changed.size > 0) onChanged(applied.changed)
    telemetry.projected((performance.now() - started) / 1000, events.length)
    return applied
  }

  async function applyNow(events: readonly StoredEvent[]): Promise<void> {
    const { refused } = await apply(events)
    for (const [{ stream, revision }, reason] of refused)
      throw new DamagedError(`revision ${revision} of ${stream} cannot be applied: ${reason}`)
  }

  async function untilDone(work: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
    for (let pause = RETRY_MS.first; ; pause = Math.min(pause * 2, RETRY_MS.longest)) {
      try {
        await work()
        return
      } catch (err) {
        // An outage ends; what is damaged stays so, and who was deposed as well.
        if (err instanceof DamagedError || err instanceof DeposedError) throw err
        telemetry.log.warn({ err }, 'projection failed, trying again')
        await sleep(pause * (0.5 + Math.random() / 2), undefined, { signal })
      }
    }
  }

  /** Follows the log until the lead is lost or `signal` is aborted. */
  async function follow(inTerm: number, signal: AbortSignal, onLevel: () => void): Promise<void> {
    let standing: Standing = new Map()
    await untilDone(async () => {
      standing = await standingOf(readModel, projections)
    }, signal)
    for await (const { events, caughtUp } of store.subscribe(slowest(standing), STREAMS, signal)) {
      behindSince ??= performance.now()
      const position = events.at(-1)?.position
      if (position) {
        const step = { after: standing, position, of: projections, term: inTerm }
        await untilDone(() => apply(events, step), signal)
        standing = advanced(standing, position)
      }
      if (!caughtUp) continue
      if (!level) await untilDone(() => readModel.publish(projections), signal)
      behindSince = null
      if (!level) {
        level = true
        // Others may wait for it.
        await ask()
      }
      onLevel()
    }
  }

  /** Null: nobody can tell. */
  async function ask(): Promise<Lead | null> {
    try {
      return await readModel.lead(group, { id, ttlMs: TTL_MS, lag: lag(), level })
    } catch (err) {
      telemetry.log.warn({ err }, 'the lead among projectors could not be asked for')
      return null
    }
  }

  /** Follows the log for one term, and keeps asking for the lead meanwhile. */
  async function serve(inTerm: number, onLevel: () => void): Promise<void> {
    telemetry.log.info({ term: inTerm }, 'leads the projectors')
    const over = new AbortController()
    const signal = AbortSignal.any([over.signal, stopping.signal])
    const keeping = keep(inTerm, over, signal)
    term = inTerm
    try {
      await follow(inTerm, signal, onLevel)
    } catch (error) {
      if (!signal.aborted && !(error instanceof DeposedError)) throw error
    } finally {
      term = null
      level = false
      over.abort()
      await keeping
    }
  }

  async function keep(inTerm: number, over: AbortController, signal: AbortSignal): Promise<void> {
    while (await pause(ASK_MS, signal)) {
      const lead = await ask()
      // Where nobody can tell, the fence around the checkpoint can.
      if (lead && lead.term !== inTerm) over.abort()
    }
  }

  /** Somebody else leads: what it says of its lag is what there is to know. */
  async function stand(leader: Lead & { term: null }, onLevel: () => void): Promise<void> {
    behindSince = performance.now() - leader.lag * 1000
    if (leader.level && (await readModel.isPublished(projections).catch(() => false))) onLevel()
  }

  async function run(onLevel: () => void): Promise<void> {
    do {
      const lead = await ask()
      if (lead?.term === null) await stand(lead, onLevel)
      else if (lead) await serve(lead.term, onLevel)
    } while (await pause(ASK_MS, stopping.signal))
  }

  const lag = (): number => (behindSince === null ? 0 : (performance.now() - behindSince) / 1000)

  return {
    apply: applyNow,

    async start() {
      await readModel.open(projections)
      await assertNotAhead(store, await Promise.all(projections.map((one) => readModel.checkpoint(one))))
      const waiting = setInterval(
        () =>
          telemetry.log.info({ leads: term !== null }, 'the read model has not caught up with the log yet'),
        TELL_MS,
      )
      const caughtUp = new Promise<void>((resolve, reject) => {
        running = run(resolve).catch((error: unknown) => {
          // From here on it falls behind, and whoever asks for the lag is told so.
          behindSince ??= performance.now()
          telemetry.log.error({ err: error }, 'projector ended')
          reject(error)
        })
      })
      await caughtUp.finally(() => clearInterval(waiting))
    },

    async stop() {
      stopping.abort()
      await running
      await readModel
        .resign(group, id)
        .catch((err: unknown) => telemetry.log.warn({ err }, 'the lead was not given back'))
    },

    lag,
    leads: () => term !== null,
  }
}

/** @returns false if it was aborted */
const pause = (milliseconds: number, signal: AbortSignal): Promise<boolean> =>
  sleep(milliseconds, true, { signal, ref: false }).catch(() => false)

/** A log that ends before a checkpoint was restored from a backup or replaced: projecting on would skip events. */
export async function assertNotAhead(
  store: EventStore,
  checkpoints: readonly (string | null)[],
): Promise<void> {
  const newest = checkpoints.reduce((a, b) => (a === null || (b !== null && b > a) ? b : a))
  const head = await store.head()
  if (newest !== null && head !== null && newest.length !== head.length) {
    throw new Error('The read model was filled from another event store. Delete it to fill it from this one.')
  }
  if (newest !== null && (head === null || head < newest)) {
    throw new Error(
      'The read model is ahead of the event store: the log was reset or restored. Delete the read model to rebuild it.',
    )
  }
}
