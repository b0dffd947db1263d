import { setTimeout as sleep } from 'node:timers/promises'
import { type Metadata, status } from '@grpc/grpc-js'
import { type Failure, failure } from './messages.ts'

/**
 * What the next append meets. `fail`: it is stored and an error is answered, with `more` in its metadata; `late`: it is stored and answered so many
 * milliseconds later, whether or not somebody still waits; `swallow`: neither stored nor answered; `conflict`: refused
 * as if the stream were at that revision; `deleted`: a success that stores nothing, as for old events of such a stream.
 */
export type AppendFault =
  | { kind: 'fail'; code: number; details: string; more?: Record<string, string> }
  | { kind: 'late'; milliseconds: number }
  | { kind: 'swallow' }
  | { kind: 'deleted' }
  | { kind: 'conflict'; actual: number }

/** `slow`: the consumer could not keep up; `end`: no error, as at an orderly close; `reset`: the connection broke. */
export type Drop = 'slow' | 'end' | 'reset'

export const drops: Record<Drop, Failure | null> = {
  slow: failure(
    status.ABORTED,
    'Operation timed out: Consumer too slow to handle event while live. Client resubscription required.',
  ),
  end: null,
  reset: failure(status.INTERNAL, 'Received RST_STREAM with code 2 (Internal server error)'),
}

/** Every misbehaviour there is, on command. */
export interface Faults {
  /** From now on everything is accepted and nothing answered. */
  freeze(): void
  /** What was asked meanwhile is done now, also for those who have gone. */
  thaw(): void
  /** For one append each, in order. */
  nextAppend(fault: AppendFault): void
  /** Subscriptions get so many events more, all together, and then none, until `null`; all else goes on. */
  deliverOnly(events: number | null): void
  /** The subscriptions that there are get nothing any more, and are kept. */
  deafen(): void
  /** Ends all subscriptions there are. */
  drop(how: Drop): void
  /** For so many milliseconds everything is refused, as right after a start. */
  notReady(milliseconds: number): void
  /** Refuses what needs the leader and names it; null: leads again. */
  followLeader(leader: { host: string; port: number } | null): void
  /** Every call is answered so many milliseconds later. */
  slow(milliseconds: number): void
  /** Whom it lets in, and to what: `may` is asked with `append` or `read`, and the stream. Null: anybody to anything. */
  admit(rule: Admission | null): void
}

export interface Admission {
  username: string
  password: string
  may?: (what: 'append' | 'read', stream: string) => boolean
}

const UNAUTHENTICATED = failure(status.UNAUTHENTICATED, 'Unauthenticated')
const ACCESS_DENIED = failure(status.PERMISSION_DENIED, 'Access Denied', { exception: 'access-denied' })

/** The faults as those see them who serve a call. */
export interface Misbehaviour extends Faults {
  /** For the beginning of a call: waits as long as `slow` says. */
  delayed(): Promise<void>
  /** Waits while frozen. */
  thawed(): Promise<void>
  /** Waits until a subscription may be sent one event more. */
  mayDeliver(): Promise<void>
  /** For the beginning of a subscription. @returns what says whether it gets nothing any more */
  hearing(): () => boolean
  takeAppendFault(): AppendFault | undefined
  /** Why this user may not do that. */
  denial(metadata: Metadata, what: 'append' | 'read', stream: string): Failure | undefined
  /** Why a call is refused before it is looked at. */
  refusal(metadata: Metadata): Failure | undefined
  onDrop(end: (how: Drop) => void): () => void
}

export function createFaults(): Misbehaviour {
  const appendFaults: AppendFault[] = []
  const subscriptions = new Set<(how: Drop) => void>()
  let readyAt = 0
  let leader: { host: string; port: number } | null = null
  let deliveries = Number.POSITIVE_INFINITY
  const held = new Set<() => void>()
  let deafened = 0
  let delay = 0
  let admission: Admission | null = null
  let frozen: { until: Promise<void>; thaw: () => void } | undefined

  return {
    freeze() {
      if (frozen) return
      let thaw = (): void => {}
      const until = new Promise<void>((resolve) => {
        thaw = resolve
      })
      frozen = { until, thaw }
    },
    thaw() {
      frozen?.thaw()
      frozen = undefined
    },
    nextAppend: (fault) => void appendFaults.push(fault),
    deliverOnly(events) {
      deliveries = events ?? Number.POSITIVE_INFINITY
      for (const goOn of held) goOn()
      held.clear()
    },
    deafen() {
      deafened++
    },
    drop(how) {
      for (const end of subscriptions) end(how)
    },
    notReady(milliseconds) {
      readyAt = performance.now() + milliseconds
    },
    followLeader(named) {
      leader = named
    },

    slow(milliseconds) {
      delay = milliseconds
    },
    admit(rule) {
      admission = rule
    },
    denial(metadata, what, stream) {
      if (!admission) return undefined
      const { username, password, may = () => true } = admission
      const good = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
      if (metadata.get('authorization')[0] !== good) return UNAUTHENTICATED
      return may(what, stream) ? undefined : ACCESS_DENIED
    },

    delayed: () => sleep(delay, undefined, { ref: false }),
    async thawed() {
      while (frozen) await frozen.until
    },
    async mayDeliver() {
      while (deliveries <= 0) await new Promise<void>((resolve) => void held.add(resolve))
      deliveries--
    },
    hearing() {
      const before = deafened
      return () => deafened !== before
    },
    takeAppendFault: () => appendFaults.shift(),
    refusal(metadata) {
      if (performance.now() < readyAt) return failure(status.UNAVAILABLE, 'Server Is Not Ready')
      if (!leader || metadata.get('requires-leader')[0] !== 'true') return undefined
      return failure(status.NOT_FOUND, 'Leader info available', {
        exception: 'not-leader',
        'leader-endpoint-host': leader.host,
        'leader-endpoint-port': String(leader.port),
      })
    },
    onDrop(end) {
      subscriptions.add(end)
      return () => subscriptions.delete(end)
    },
  }
}
