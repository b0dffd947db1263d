import type { Feed } from '../feed/feed.ts'
import type { FeedWatch } from '../feed/watch.ts'
import { ConflictError, LeadershipLostError } from '../ports/errors.ts'
import type { Logger } from '../ports/telemetry.ts'
import { createPause } from '../scheduling/pause.ts'
import { untilAborted } from '../scheduling/untilAborted.ts'
import { createLanes, type Lanes } from './lanes.ts'
import { createOutbox, createSaver, type Delivered, type OutboxDependencies } from './outbox.ts'
import { createTeller, type Deliver } from './teller.ts'

export interface Delivery {
  /**
   * Notes down where to begin, if nobody was ever told of anything: at the end of the log as it is now. Then it works in
   * the background, as long as this process leads.
   * @throws StoreUnavailableError, DamagedError
   */
  start(): Promise<void>
  stop(): Promise<void>
  /** As far as this process leads: how many events wait, since when the oldest, and whether nobody wants to be told. */
  status(): { waiting: number; oldest: string | null; isStopped: boolean }
  /** How many attempts have failed. */
  failures(): number
}

export interface DeliveryDependencies extends OutboxDependencies {
  /** Names who is told, in the event store and in the log. */
  name: string
  /** A hash of whom. Who wanted no more is told again when it changes. */
  target: string
  feed: Pick<Feed, 'read' | 'end' | 'ofToken'>
  watch: Pick<FeedWatch, 'follow'>
  wants: (type: string) => boolean
  deliver: Deliver
  log: Pick<Logger, 'info' | 'warn' | 'error'>
  /** Does this process do what only one does? Two at once would do no harm, but tell everything twice. */
  leads: () => boolean
  /** Asks for the right to it. Default: whoever leads has it. */
  acquire?: () => Promise<boolean>
  /** Has somebody asked to go on, although whoever is told wanted no more? Then it forgets that. */
  takeRequestToResume?: () => Promise<boolean>
  random: () => number
  /** How often it is looked who leads, and the shortest time between two checkpoints, in milliseconds; for tests. */
  tickMs?: number
}

const READ = 100
const TICK_MS = 1_000
/** How long an end waits for what is under way, in milliseconds. */
const LAST_MS = 1_000

/** Tells somebody of every event, at least once, those of one token in order. */
export function createDelivery(deps: DeliveryDependencies): Delivery {
  const { name, feed, log, clock, leads, acquire = async () => leads(), tickMs = TICK_MS } = deps
  const outbox = createOutbox(name, deps)
  const stopping = new AbortController()
  const untilStopped = untilAborted(stopping.signal)
  const { pause, wake } = createPause()
  let running: Promise<void> = Promise.resolve()
  let lanes: Lanes | null = null
  let [failures, isLogged] = [0, false]

  /** Works until this process does not lead any more, or something fails. */
  async function deliverAll(): Promise<void> {
    const from = (await outbox.load()) ?? (await begun())
    const on = (lanes = createLanes(from, deps.random))
    const teller = createTeller(on, { ...deps, againMs: tickMs, onEnd: wake })
    const save = createSaver(outbox, from, tickMs)
    const leave = deps.watch.follow(null, wake)
    const before = failures
    try {
      while (!stopping.signal.aborted && leads()) {
        // Otherwise what was stored before would look like somebody's wish to go on.
        if (on.stopped()) await save(on.state(), true)
        if (await mayGoOn(on)) {
          await readOn(on)
          teller.begin()
        }
        await save(on.state())
        failures = before + teller.failures()
        isLogged = false
        await pause(Math.min(tickMs, Math.max(0, on.nextAt() - clock())) || tickMs)
      }
      await teller.end(LAST_MS)
      await save(on.state(), true)
    } finally {
      leave()
      await teller.end(LAST_MS)
      failures = before + teller.failures()
      lanes = null
    }
  }

  async function readOn(on: Lanes): Promise<void> {
    while (!on.isFull()) {
      const after = on.readTo()
      const { data, next } = await feed.read({ accountId: null, after, types: null, limit: READ })
      const wanted = data.filter(({ type }) => deps.wants(type))
      on.take(wanted, next)
      if (next === after) return
    }
  }

  async function mayGoOn(on: Lanes): Promise<boolean> {
    const stopped = on.stopped()
    if (!stopped) return true
    if (stopped.target !== deps.target || (await deps.takeRequestToResume?.())) {
      on.resume()
      return true
    }
    // Another process, like a command, may have stored that it goes on.
    const state = await outbox.load()
    if (state && !state.stopped) on.resume()
    return on.stopped() === null
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        // Asking others can take longer than a stop may.
        if (leads() || (await Promise.race([acquire(), untilStopped]))) await deliverAll()
      } catch (err) {
        if (err instanceof ConflictError || err instanceof LeadershipLostError)
          log.info({ to: name }, 'another process tells of events')
        else if (!isLogged) log.warn({ err, to: name }, 'events cannot be told of now')
        isLogged = true
      }
      if (!stopping.signal.aborted) await pause(tickMs)
    }
  }

  /** The end of the log, as far as it can be read. */
  async function begun(): Promise<Delivered> {
    const position = await feed.end()
    const state = { position, aside: [], stopped: null, lastFailure: null, givenUp: 0 }
    await outbox.save(state)
    return state
  }

  return {
    async start() {
      if (!(await outbox.load()))
        await begun().catch((error: unknown) => {
          // Another process was faster, which is as good.
          if (!(error instanceof ConflictError)) throw error
        })
      running = run()
    },
    async stop() {
      stopping.abort()
      wake()
      await running
    },
    status() {
      const { events = 0, oldest = null } = lanes?.waiting() ?? {}
      return { waiting: events, oldest, isStopped: (lanes?.stopped() ?? null) !== null }
    },
    failures: () => failures,
  }
}
