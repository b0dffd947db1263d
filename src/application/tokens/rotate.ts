import * as decide from '../../domain/decide.ts'
import { assertGrantable, type Ceiling } from '../../domain/scopes.ts'
import type { ExistingToken, RotationStatus } from '../../domain/token.ts'
import { projected } from '../eventLog/tokenStream.ts'
import { iso } from '../ports/clock.ts'
import type { TokenDocument } from '../../../projections/tokens.ts'
import { type CommandContext, createExecutor, type ExecuteDependencies } from './execute.ts'
import { newSecret, type SecretMaker } from './newSecret.ts'
import { damagedToken, refusingDamage } from './revokeDamaged.ts'

/** A token as the read model shows it, from which its stream is read on. */
export interface RotationTarget {
  seen: TokenDocument
  ifMatch: (revision: number) => boolean
}

export interface RotationInput {
  /** How long the older secret is accepted beside the newer one, in seconds. */
  graceSeconds: number
  /** When that time begins. */
  activate: 'on_first_use' | 'now'
}

export interface Rotations {
  /**
   * Gives a token another secret.
   * @param ceiling the scopes that may be given out: the token must have no others
   * @throws Refusal, StoreUnavailableError, UnknownOutcomeError; so do the other methods
   */
  rotate(
    context: CommandContext,
    target: RotationTarget,
    input: RotationInput,
    ceiling?: Ceiling,
  ): Promise<{ token: ExistingToken; secret: string }>
  /** Ends a rotation: the newer secret of a pending one is dead, or the older secret of one in its grace. */
  end(context: CommandContext, target: RotationTarget, status: RotationStatus): Promise<ExistingToken>
}

const UNCHANGEABLE = 'it cannot be rotated. Revoke it, and make another one'

interface Dependencies extends ExecuteDependencies, SecretMaker {
  /** Resolves when no first use of a secret of the token is being written down any more. */
  settled: (tokenId: string) => Promise<void>
}

export function createRotations(deps: Dependencies): Rotations {
  const { execute } = createExecutor(deps)
  const now = (): string => iso(deps.clock())

  async function change(
    context: CommandContext,
    { seen }: RotationTarget,
    decided: Parameters<typeof execute>[0]['decide'],
  ): Promise<ExistingToken> {
    if (seen.stopped !== undefined) throw damagedToken(UNCHANGEABLE)
    await deps.settled(seen.id)
    return refusingDamage(deps, { tokenId: seen.id, advice: UNCHANGEABLE }, () =>
      execute({ context, tokenId: seen.id, from: projected(seen), decide: decided }),
    )
  }

  return {
    async rotate(context, target, { graceSeconds, activate }, ceiling = null) {
      const { secret, stored } = await newSecret(deps)
      const by = context.actor
      const token = await change(context, target, (state) => {
        const scopes = state.status === 'none' ? [] : state.scopes
        assertGrantable(scopes, [], ceiling)
        return decide.rotate(state, { secret: stored, activate, graceSeconds, by }, target.ifMatch, now())
      })
      return { token, secret }
    },
    end(context, target, status) {
      const by = context.actor.kind
      return change(context, target, (state) =>
        decide.endRotation(state, status, target.ifMatch, { now: now(), by }),
      )
    },
  }
}
