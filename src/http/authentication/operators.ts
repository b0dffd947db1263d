import type { Context } from 'koa'
import type { Authenticator } from '../../application/authentication/authenticate.ts'
import type { Operator } from '../../domain/principal.ts'
import type { CallerAddress } from '../callerAddress.ts'
import { Problem } from '../problem.ts'
import { requestStateOf } from '../requestState.ts'
import { type AuthenticateRequest, unauthorized } from './authenticate.ts'
import type { credentialReader } from './credential.ts'
import type { AcceptUser, AskUser } from './users.ts'

interface Dependencies {
  authenticator: Pick<Authenticator, 'operatorOf'>
  /** For everybody who is no operator. */
  authenticateRequest: AuthenticateRequest
  readCredential: ReturnType<typeof credentialReader>
  /** Null: the host has no login of its own. */
  askUser: AskUser | null
  acceptUser: AcceptUser
  addressOf: CallerAddress
}

export type AdmitOperator = (ctx: Context) => Promise<Operator>

/**
 * Finds the operator who asks, by a JWT or by the host's own login.
 * @returns a function that throws Problem 401 for no credential or a bad one, and 404 for any other good one, as for a
 *   path that does not exist
 */
export function createAdmitOperator(deps: Dependencies): AdmitOperator {
  const { authenticator, authenticateRequest, readCredential, askUser, acceptUser, addressOf } = deps

  async function byJwt(ctx: Context): Promise<Operator | null> {
    const credential = readCredential(ctx.req)
    const operator = credential?.kind === 'jwt' ? await authenticator.operatorOf(credential.value) : null
    if (operator) return operator
    return (await authenticateRequest(ctx)) ? refuse() : null
  }

  async function byUser(ctx: Context): Promise<Operator> {
    const user = await askUser?.(ctx)
    if (!user) throw unauthorized(false)
    // For an operator by a session the host has vouched only when it was opened.
    if (user.hasSession && !(await acceptUser(ctx, user))) throw unauthorized(false)
    if (!user.operator) return refuse()
    const isReadOnly = user.can !== undefined && !user.can.includes('write')
    return { kind: 'operator', subject: user.subject ?? user.accountId, isReadOnly }
  }

  return async (ctx) => {
    const operator = (await byJwt(ctx)) ?? (await byUser(ctx))
    const state = requestStateOf(ctx)
    state.address = addressOf(ctx.req)
    state.caller = operator
    return operator
  }
}

function refuse(): never {
  throw new Problem('not_found', 'There is nothing here.')
}
