import type { RecordedEvent } from '../../domain/events.ts'
import { isPortal } from '../../domain/streams.ts'
import { notUnderstood, upcast } from '../../domain/upcast.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { type Damage, type Walked, walkLog } from './verifyLog.ts'

/** Somebody who came to the page by a link. */
export interface OpenedSession {
  sessionId: string
  /** When the link was used, and until when the session lasted at most. */
  at: string
  expiresAt: string
  accountId: string
  /** The person, as the JWT names them that the link was made with. */
  subject: string
  can: readonly string[]
  returnUrl: string | null
  /** Where from; null where that was not known. */
  ip: string | null
  userAgent: string | null
  requestId: string
}

interface Audit {
  /** Null: all accounts. */
  accountId: string | null
  onSession(session: OpenedSession): Promise<void> | void
  onDamage(damage: Damage): Promise<void> | void
  onProgress?(events: number): void
}

export interface AuditedSessions extends Walked {
  sessions: number
}

/**
 * Who opened the page, and when, in the order of the log. What is not as it was written, or is not understood, is
 * reported as damage and left out.
 */
export async function auditSessions(store: EventStore, audit: Audit): Promise<AuditedSessions> {
  const sums = { sessions: 0, damages: 0 }
  let found: (() => Promise<void> | void)[] = []

  function read(event: Parameters<typeof upcast>[0]): void {
    const upcasted = upcast(event)
    const reason = notUnderstood(event, upcasted)
    if (upcasted.kind === 'event' && upcasted.event.type === 'PortalSessionOpened') {
      const session = sessionOf(upcasted.event)
      if (audit.accountId !== null && session.accountId !== audit.accountId) return
      sums.sessions++
      found.push(() => audit.onSession(session))
    } else if (reason !== null) {
      sums.damages++
      const { stream, revision, position } = event
      found.push(() => audit.onDamage({ stream, revision, position, what: `is of an ${reason}` }))
    }
  }

  async function report(): Promise<void> {
    const batch = found
    found = []
    for (const tell of batch) await tell()
  }

  const walked = await walkLog(store, {
    onEvent(event, isSound) {
      if (isSound && isPortal(event)) read(event)
    },
    onDamage: audit.onDamage,
    async onProgress(events) {
      await report()
      audit.onProgress?.(events)
    },
  })
  return { ...walked, ...sums, damages: walked.damages + sums.damages }
}

function sessionOf({ data, metadata }: RecordedEvent & { type: 'PortalSessionOpened' }): OpenedSession {
  const { at, requestId, ip = null, userAgent = null } = metadata
  return { ...data, at, ip, userAgent, requestId }
}
