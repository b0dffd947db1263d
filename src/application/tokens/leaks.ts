import type { TokenDocument } from '../../../projections/tokens.ts'
import { keptText, UNKNOWN_HINT } from '../../domain/credential.ts'
import * as decide from '../../domain/decide.ts'
import { DamagedError, Refusal } from '../../domain/errors.ts'
import type { EventData, NewEvent } from '../../domain/events.ts'
import { tokenStream } from '../../domain/streams.ts'
import { appendUntilKnown } from '../eventLog/append.ts'
import { type LoadedToken, loadOn, type TokenEvent, unborn } from '../eventLog/tokenStream.ts'
import { iso } from '../ports/clock.ts'
import { ConflictError } from '../ports/errors.ts'
import { giveWay } from '../scheduling/turns.ts'
import { type CommandContext, createExecutor, type ExecuteDependencies } from './execute.ts'
import type { Identified, Identify } from './identify.ts'
import { type Manage, revokeOrClose, targetOf } from './manage.ts'

/** What somebody says that they have found, and where. */
export interface LeakReport {
  secret: string
  /** What they call such a secret. */
  type: string
  url: string
  source: string
}

/**
 * Takes reports of secrets that were found where everybody can read them. What is recorded of a token is recorded once,
 * however often it is reported.
 * @param by who reports
 * @returns for each whether it is, or ever was, a secret of a token here
 * @throws StoreUnavailableError, UnknownOutcomeError, ConflictError: the same reports have to be sent again
 */
export type TakeLeaks = (
  context: CommandContext,
  reports: readonly LeakReport[],
  by: string,
) => Promise<boolean[]>

interface Dependencies extends ExecuteDependencies {
  identify: Identify
  manage: Pick<Manage, 'revoke'>
  /** Are tokens revoked, or is a leak only written down? */
  action: 'revoke' | 'notify'
}

/** What is to be written down, by the id that the event gets: one for each place. */
type Leaks = Map<string, EventData<'TokenLeaked'>>

/** All that is said of one token. */
interface Leaked {
  token: TokenDocument
  /** Of a secret that was found; of one that is alive, if there is one. */
  hint: string
  /** Are all of its secrets that were found dead? */
  isDead: boolean
  leaks: Leaks
}

/** How much is kept of what a report says, in characters. */
const KEPT = { url: 1024, source: 100, type: 100 }
/** Of a token that was found, `not_found` says that its history is gone. */
const isOfDamage = (error: unknown): boolean =>
  error instanceof DamagedError || (error instanceof Refusal && error.code === 'not_found')

/** A longer text is no secret of a token. */
const LONGEST = 512
/** How many are written at once: they are projected in a few milliseconds, and short enough for one append. */
const AT_ONCE = 20
/** How many conflicts in a row end an attempt to write. */
const MAX_CONFLICTS = 20

export function createTakeLeaks(deps: Dependencies): TakeLeaks {
  const { store, identify, manage, action, telemetry, clock, ids } = deps
  const { envelope } = createExecutor(deps)

  function leakOf({ token, hint }: Identified, { secret, ...report }: LeakReport, by: string) {
    const kept = (text: string, most: number): string =>
      keptText(text.slice(0, most + LONGEST).replaceAll(secret, '[credential]'), most) || 'unknown'
    const url = kept(report.url, KEPT.url)
    const source = `${by} ${kept(report.source, KEPT.source)}`
    const data = { source, url, type: kept(report.type, KEPT.type), hint: hint || UNKNOWN_HINT }
    return { id: ids.derived(token.id, JSON.stringify(['leak', source, url])), data }
  }

  /** What reports say of each token, each place once. */
  async function byToken(
    known: readonly (Identified | null)[],
    reports: readonly LeakReport[],
    by: string,
  ): Promise<Iterable<Leaked>> {
    const tokens = new Map<string, Leaked>()
    for (const [i, report] of reports.entries()) {
      const pause = giveWay()
      if (pause) await pause
      const found = known[i]
      if (!found) continue
      const { token, hint, isDead } = found
      const leaked = tokens.get(token.id) ?? { token, hint, isDead, leaks: new Map() }
      tokens.set(token.id, leaked)
      if (leaked.isDead && !isDead) Object.assign(leaked, { hint, isDead })
      const { id, data } = leakOf(found, report, by)
      if (!leaked.leaks.has(id)) leaked.leaks.set(id, data)
    }
    return tokens.values()
  }

  /** The events of the next append, linked to the end of the stream. */
  function nextEvents(context: CommandContext, leaks: Leaks, { state, chain, at }: LoadedToken): NewEvent[] {
    const events: NewEvent[] = []
    for (const [id, data] of leaks) {
      if (events.length === AT_ONCE) break
      const last = events.at(-1)
      const end = last ? { chain: last.metadata.chain, after: last.metadata.at } : { chain, after: at }
      events.push(envelope(decide.leak(state, data), { id, context, ...end, bodyHash: undefined }))
    }
    return events
  }

  /**
   * Writes down those that the history of the token does not have yet. What was written is read like what others have
   * written, so the history is read once, however many there are.
   * @param leaks of these, those that are in the history are taken out
   */
  async function record(context: CommandContext, { token, leaks }: Leaked): Promise<void> {
    const onRead = async (events: TokenEvent[]): Promise<void> => {
      for (const { stored } of events) leaks.delete(stored.id)
      // The read model, which has shown the token, has those before.
      const later = events.flatMap(({ stored }) => (stored.revision > token.revision ? [stored] : []))
      if (later.length > 0) await deps.project(later)
    }
    let known = await loadOn(store, token.id, unborn(token.id), onRead)
    for (let conflicts = 0; leaks.size > 0; known = await loadOn(store, token.id, known, onRead)) {
      try {
        const events = nextEvents(context, leaks, known)
        await appendUntilKnown(deps, tokenStream(token.id), known.revision, events)
        conflicts = 0
      } catch (error) {
        if (!(error instanceof ConflictError) || ++conflicts === MAX_CONFLICTS) throw error
      }
    }
  }

  async function take(context: CommandContext, leaked: Leaked, by: string): Promise<void> {
    const { token, hint, isDead } = leaked
    const target = targetOf(token, () => true, iso(clock()))
    // Revoked first: whatever becomes of the record, nobody can use it. A secret that is dead already costs nothing.
    const isRevoked = action === 'revoke' && !isDead
    if (isRevoked) await revokeOrClose(manage, context, target, `leaked: reported by ${by}`)
    try {
      await record(context, leaked)
    } catch (error) {
      // A leak can be recorded only if the history of the token is there, and sound.
      if (!isOfDamage(error)) throw error
      telemetry.log.error({ err: error, tokenId: token.id }, 'the history of a token is damaged')
    }
    telemetry.log.warn(
      {
        tokenId: token.id,
        accountId: token.accountId,
        hint,
        action: isRevoked ? 'revoked' : isDead ? 'none: the secret was dead' : 'none',
        next: `tokenledger blast-radius ${token.id} --since ${token.createdAt}`,
      },
      'a secret of a token was found where everybody can read it',
    )
  }

  return async (context, reports, by) => {
    const known = await identify(reports.map(({ secret }) => (secret.length > LONGEST ? '' : secret)))
    for (const leaked of await byToken(known, reports, by)) {
      await take(context, leaked, by)
      const pause = giveWay()
      if (pause) await pause
    }
    return known.map((found) => found !== null)
  }
}
