import type { Change, Projection } from '../../projections/projection.ts'
import { stopToken, tokens } from '../../projections/tokens.ts'
import { type StoredEvent, TOKEN_STREAM } from '../domain/events.ts'
import { upcast } from '../domain/upcast.ts'
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
 * that cannot be trusted are refused, and a token whose history they are part of is closed. For whoever fills documents,
 * live or new: a projection is not given what it has seen by its standing.
 */
export function createChanges(
  projections: readonly Projection[],
  telemetry: Judge,
): (events: readonly StoredEvent[], damages: readonly (string | null)[], standing?: Standing) => Projected {
  const closesTokens = projections.some(({ name }) => name === tokens.name)

  function refuse(event: StoredEvent, damage: string | null): Change[] {
    const reason = damage ?? `unknown version of ${event.type}`
    telemetry.damaged(damage === null ? 'version' : 'chain')
    telemetry.log.error({ stream: event.stream, revision: event.revision, reason }, 'event refused')
    return closesTokens && event.stream.startsWith(TOKEN_STREAM) ? [stopToken(event, reason)] : []
  }

  function changesOf(event: StoredEvent, damage: string | null, standing?: Standing): Change[] {
    const read = upcast(event)
    if (damage !== null || read.kind === 'unknown-version') return refuse(event, damage)
    if (read.kind === 'unknown-type') {
      telemetry.damaged('type')
      return []
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
      const isLifecycle = event.stream.startsWith(TOKEN_STREAM)
      if (isLifecycle && event.revision > 0) changed.add(event.stream.slice(TOKEN_STREAM.length))
      changes.push(...changesOf(event, damages[n] ?? null, standing))
    })
    return { changes, changed }
  }
}
