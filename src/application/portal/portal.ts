import { genesis, link } from '../../domain/chain.ts'
import type { Pepper } from '../../domain/credential.ts'
import { Refusal } from '../../domain/errors.ts'
import type { Actor, NewEvent } from '../../domain/events.ts'
import { type PortalTicket, sealTicket, SESSION_MS, unsealTicket } from '../../domain/portal.ts'
import { portalStream } from '../../domain/streams.ts'
import { versions } from '../../domain/upcast.ts'
import { type AppendTelemetry, appendUntilKnown } from '../eventLog/append.ts'
import type { Ids } from '../eventLog/ids.ts'
import type { Patience } from '../eventLog/patience.ts'
import { type Clock, iso } from '../ports/clock.ts'
import { ConflictError } from '../ports/errors.ts'
import type { EventStore } from '../ports/eventStore.ts'

interface Dependencies {
  store: EventStore
  clock: Clock
  ids: Ids
  telemetry: AppendTelemetry
  patience?: Patience | undefined
  /** There is at least one. The first one seals, all of them open. */
  peppers: readonly Pepper[]
  randomBytes: (size: number) => Uint8Array
}

/** Where the code was exchanged, for the metadata of the event. */
export interface PortalOpener {
  requestId: string
  correlationId: string
  ip: string | null
  userAgent: string | null
}

export interface OpenedPortal {
  ticket: PortalTicket
  /** The session, for the cookie. */
  sealed: string
}

export type Portal = ReturnType<typeof createPortal>

/** Codes and sessions of the page. */
export function createPortal(deps: Dependencies) {
  const { store, clock, ids, telemetry, patience, peppers, randomBytes } = deps

  const eventOf = (
    session: PortalTicket,
    { requestId, correlationId, ip, userAgent }: PortalOpener,
  ): NewEvent => {
    const { id: sessionId, accountId, subject, can, returnUrl, expiresAt } = session
    const actor: Actor = { kind: 'user', id: subject }
    const schemaVersion = versions.PortalSessionOpened.current
    return {
      id: ids.random(),
      type: 'PortalSessionOpened',
      data: { sessionId, accountId, subject, can: [...can], returnUrl, expiresAt: iso(expiresAt) },
      metadata: {
        at: iso(clock()),
        actor,
        requestId,
        correlationId,
        ip,
        userAgent,
        schemaVersion,
        chain: '',
      },
    }
  }

  return {
    /**
     * What a code is for. It may be used already: only `open` finds that out.
     * @throws Refusal `portal_link_refused` for a code that is too old, or none
     */
    read(code: string): PortalTicket {
      const ticket = unsealTicket(peppers, 'code', code)
      if (ticket && ticket.expiresAt > clock()) return ticket
      throw new Refusal('portal_link_refused', 'The link is too old, or not whole. Ask for another one.')
    },

    /**
     * Exchanges a code for a session, once on any number of processes: the event store takes only one first event of the
     * code's stream.
     * @throws Refusal `portal_link_used`; StoreUnavailableError, UnknownOutcomeError
     */
    async open(code: PortalTicket, opener: PortalOpener): Promise<OpenedPortal> {
      const ticket = { ...code, expiresAt: clock() + SESSION_MS }
      const stream = portalStream(code.id)
      const event = link(genesis(stream), [eventOf(ticket, opener)])
      try {
        await appendUntilKnown({ store, telemetry, patience }, stream, 'no_stream', event)
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error
        throw new Refusal('portal_link_used', 'The link was used before. Ask for another one.')
      }
      return { ticket, sealed: sealTicket(peppers[0] as Pepper, 'session', ticket, randomBytes(12)) }
    },

    /** The session in a cookie; null for one that is over, or none. */
    session(text: string): PortalTicket | null {
      const ticket = unsealTicket(peppers, 'session', text)
      return ticket && ticket.expiresAt > clock() ? ticket : null
    },
  }
}
