import type { Change, Projection } from '../../projections/projection.ts'
import { passOver, stopToken, tokens } from '../../projections/tokens.ts'
import { isOfToken, type StoredEvent, tokenIdOf } from '../domain/events.ts'
import { notUnderstood, upcast } from '../domain/upcast.ts'
import type { Telemetry } from './ports.ts'
import type { Standing } from './standing.ts'

export interface Projected {
  changes: Change[]
  /** Tokens that have changed since they were made. */
  changed: Set<string>
}

type Judge = Pick<Telemetry, 'damaged' | 'log'>

/**
 * Turns events, with what is wrong with each of them, into changes of documents, one by one in the order given; those
 * that cannot be trusted or understood are refused, and a token whose history they are part of is closed. For whoever
 * fills documents, live or new: a projection is not given what it has seen by its standing.
 */
export function createChanges(
  projections: readonly Projection[],
  telemetry: Judge,
): (events: readonly StoredEvent[], damages: readonly (string | null)[], standing?: Standing) => Projected {
  const fillsTokens = projections.some(({ name }) => name === tokens.name)
  const ofToken = (event: StoredEvent, change: () => Change): Change[] =>
    fillsTokens && isOfToken(event) ? [change()] : []

  function refuse(event: StoredEvent, kind: 'chain' | 'version' | 'type', reason: string): Change[] {
    telemetry.damaged(kind)
    telemetry.log.error({ stream: event.stream, revision: event.revision, reason }, 'event refused')
    return ofToken(event, () => stopToken(event, reason))
  }

  function changesOf(event: StoredEvent, damage: string | null, standing?: Standing): Change[] {
    if (damage !== null) return refuse(event, 'chain', damage)
    const read = upcast(event)
    const reason = notUnderstood(event, read)
    if (reason !== null) return refuse(event, read.kind === 'unknown-version' ? 'version' : 'type', reason)
    if (read.kind !== 'event') {
      // Nobody has to do anything about it.
      telemetry.damaged('skipped')
      return ofToken(event, () => passOver(event))
    }
    const { event: recorded } = read
    const changes: Change[] = []
    for (const projection of projections) {
      const isNew = event.position > (standing?.get(projection)?.position ?? '')
      if (isNew && projection.events.includes(recorded.type)) changes.push(...projection.project(recorded))
    }
    return changes
  }

  return (events, damages, standing) => {
    const changes: Change[] = []
    const changed = new Set<string>()
    events.forEach((event, n) => {
      if (isOfToken(event) && event.revision > 0) changed.add(tokenIdOf(event.stream))
      changes.push(...changesOf(event, damages[n] ?? null, standing))
    })
    return { changes, changed }
  }
}
