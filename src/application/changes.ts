import type { Change, Projection } from '../../projections/projection.ts'
import { refusalOf, refusedEvents } from '../../projections/refusedEvents.ts'
import { stopToken, tokens } from '../../projections/tokens.ts'
import { type RecordedEvent, type StoredEvent, TOKEN_STREAM, tokenIdOf } from '../domain/events.ts'
import { upcast } from '../domain/upcast.ts'
import { flawOf } from './eventCheck.ts'
import type { ReadModel, Standing, Telemetry } from './ports.ts'
import { type Alarm, createAlarm, type RefusalKind, usesIn } from './refusals.ts'

export interface Projected {
  changes: Change[]
  /** Of each change the event that it comes from. */
  sources: StoredEvent[]
  /** Tokens that have changed since they were made. */
  changed: Set<string>
}

export async function standingOf(
  filled: Pick<ReadModel, 'checkpoint'>,
  projections: readonly Projection[],
): Promise<Standing> {
  const checkpoints = projections.map(async (one) => [one, await filled.checkpoint(one)] as const)
  return new Map(await Promise.all(checkpoints))
}

export const advanced = (standing: Standing, position: string): Standing =>
  new Map([...standing].map(([one, at]) => [one, at !== null && at > position ? at : position]))

/** Where the log has to be read on from, so that no projection misses anything. */
export const slowest = (standing: Standing): string | null =>
  [...standing.values()].reduce((a, b) => (a === null || b === null ? null : a < b ? a : b))

/**
 * Turns events, with what is wrong with each of them, into changes of documents, one by one in the order given; those
 * that cannot be trusted or projected are refused, and a token whose history they are part of is closed. For whoever
 * fills documents, live or new: a projection is not given what it has seen by its standing.
 */
export function createChanges(
  projections: readonly Projection[],
  telemetry: Pick<Telemetry, 'damaged' | 'log'>,
  alarm: Alarm = createAlarm(telemetry),
): (events: readonly StoredEvent[], damages: readonly (string | null)[], standing?: Standing) => Projected {
  const fills = (wanted: Projection): boolean => projections.some(({ name }) => name === wanted.name)
  const [closesTokens, recordsRefusals] = [fills(tokens), fills(refusedEvents)]

  function refuse(event: StoredEvent, kind: RefusalKind, reason: string): Change[] {
    // What is said in an event that cannot be trusted is not repeated.
    const uses = kind === 'chain' ? 0 : usesIn(event)
    alarm(event, { kind, reason, uses })
    return [
      ...(closesTokens && event.stream.startsWith(TOKEN_STREAM) ? [stopToken(event, reason)] : []),
      ...(recordsRefusals ? [refusalOf(event, reason, uses)] : []),
    ]
  }

  function changesOf(event: StoredEvent, damage: string | null, standing?: Standing): Change[] {
    if (damage !== null) return refuse(event, 'chain', damage)
    const read = upcast(event)
    if (read.kind === 'unknown-version') return refuse(event, 'version', `unknown version of ${event.type}`)
    if (read.kind === 'unknown-type') {
      telemetry.damaged('type')
      return []
    }
    const flaw = flawOf(read.event)
    if (flaw !== null) return refuse(event, 'data', flaw)
    try {
      return projected(read.event, standing)
    } catch (error) {
      return refuse(event, 'projection', `it cannot be projected: ${(error as Error).name}`)
    }
  }

  function projected(event: RecordedEvent, standing?: Standing): Change[] {
    const changes: Change[] = []
    for (const projection of projections) {
      const isNew = event.position > (standing?.get(projection) ?? '')
      if (isNew && projection.events.includes(event.type)) changes.push(...projection.project(event))
    }
    return changes
  }

  return (events, damages, standing) => {
    const changes: Change[] = []
    const sources: StoredEvent[] = []
    const changed = new Set<string>()
    events.forEach((event, n) => {
      const isLifecycle = event.stream.startsWith(TOKEN_STREAM)
      if (isLifecycle && event.revision > 0) changed.add(tokenIdOf(event.stream))
      for (const change of changesOf(event, damages[n] ?? null, standing)) {
        changes.push(change)
        sources.push(event)
      }
    })
    return { changes, sources, changed }
  }
}
