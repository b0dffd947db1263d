import { keptText, UNKNOWN_HINT } from '../../domain/credential.ts'
import * as decide from '../../domain/decide.ts'
import { DamagedError, Refusal } from '../../domain/errors.ts'
import { unborn } from '../eventLog/tokenStream.ts'
import { iso } from '../ports/clock.ts'
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
 * @throws StoreUnavailableError, UnknownOutcomeError: the same reports have to be sent again
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

/** How much is kept of what a report says, in characters. */
const KEPT = { url: 1024, source: 100, type: 100 }
/** Of a token that was found, `not_found` says that its history is gone. */
const isOfDamage = (error: unknown): boolean =>
  error instanceof DamagedError || (error instanceof Refusal && error.code === 'not_found')

/** A longer text is no secret of a token. */
const LONGEST = 512

export function createTakeLeaks(deps: Dependencies): TakeLeaks {
  const { identify, manage, action, telemetry, clock, ids } = deps
  const { execute } = createExecutor(deps)

  /** A leak can be recorded only if the history of the token is there, and sound. */
  async function record(
    context: CommandContext,
    { token, hint }: Identified,
    { secret, ...report }: LeakReport,
    by: string,
  ): Promise<void> {
    const kept = (text: string, most: number): string =>
      keptText(text.slice(0, most + LONGEST).replaceAll(secret, '[credential]'), most) || 'unknown'
    const url = kept(report.url, KEPT.url)
    const source = `${by} ${kept(report.source, KEPT.source)}`
    const data = { source, url, type: kept(report.type, KEPT.type), hint: hint || UNKNOWN_HINT }
    const id = ids.derived(token.id, JSON.stringify(['leak', source, url]))
    try {
      await execute({
        context,
        tokenId: token.id,
        // The whole history is read, since it may have the event already.
        from: unborn(token.id),
        id,
        decide: (state) => decide.leak(state, data),
      })
    } catch (error) {
      if (!isOfDamage(error)) throw error
      telemetry.log.error({ err: error, tokenId: token.id }, 'the history of a token is damaged')
    }
  }

  async function take(context: CommandContext, found: Identified, report: LeakReport, by: string) {
    const { token, isDead } = found
    const target = targetOf(token, () => true, iso(clock()))
    // Revoked first: whatever becomes of the record, nobody can use it. A secret that is dead already costs nothing.
    const isRevoked = action === 'revoke' && !isDead
    if (isRevoked) await revokeOrClose(manage, context, target, `leaked: reported by ${by}`)
    await record(context, found, report, by)
    telemetry.log.warn(
      {
        tokenId: token.id,
        accountId: token.accountId,
        hint: found.hint,
        action: isRevoked ? 'revoked' : isDead ? 'none: the secret was dead' : 'none',
        next: `tokenledger blast-radius ${token.id} --since ${token.createdAt}`,
      },
      'a secret of a token was found where everybody can read it',
    )
  }

  return async (context, reports, by) => {
    const known = await identify(reports.map(({ secret }) => (secret.length > LONGEST ? '' : secret)))
    for (const [i, found] of known.entries()) {
      const report = reports[i]
      if (found && report) await take(context, found, report, by)
      const pause = giveWay()
      if (pause) await pause
    }
    return known.map((found) => found !== null)
  }
}
