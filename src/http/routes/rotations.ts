import type { Context } from 'koa'
import type { TokenDocument } from '../../../projections/tokens.ts'
import type { Accepted } from '../../application/authentication/authenticate.ts'
import type { CommandContext } from '../../application/tokens/execute.ts'
import type { RotationInput, Rotations } from '../../application/tokens/rotate.ts'
import { MANAGEMENT_PATH as TOKENS } from '../../domain/managementPath.ts'
import type { RotationStatus } from '../../domain/token.ts'
import { Refusal } from '../../domain/errors.ts'
import { camelCased } from '../../presentation/names.ts'
import { queryOf } from '../authentication/authenticated.ts'
import { JSON_TYPES, readJsonOrNothing } from '../input/body.ts'
import { ifMatchOf } from '../input/conditional.ts'
import { bodyValidator, queryValidator } from '../input/validate.ts'
import * as schemas from '../openapi/schemas.ts'
import { Problem, tokenMayNot } from '../problem.ts'
import type { Route } from '../route.ts'
import { type AccessDependencies, tokenAccess } from './tokenAccess.ts'
import { type ReadDependencies, tokenReads } from './tokenReads.ts'

interface Dependencies extends AccessDependencies, ReadDependencies {
  rotations: Rotations
}

const parseNoQuery = queryValidator<object>(schemas.noQuery)
const parseEnd = queryValidator<{ status: RotationStatus }>(schemas.endRotationQuery)
const parseRotation = bodyValidator<object>(schemas.rotationBody)

/** Routes by which a token gets another secret. */
export function rotationRoutes(deps: Dependencies): Route[] {
  const { rotations, queries } = deps
  const answer = tokenReads(deps)
  const { changing, changingItself, ceilingOf } = tokenAccess(deps)

  const find = (ctx: Context, { principal }: Accepted) => queries.token(principal.accountId, ctx.params.id)

  async function rotateSeen(ctx: Context, command: CommandContext, accepted: Accepted, seen: TokenDocument) {
    parseNoQuery(queryOf(ctx))
    const input = camelCased<RotationInput>(parseRotation(await readJsonOrNothing(ctx)))
    const target = { seen, ifMatch: ifMatchOf(ctx) }
    const { token, secret } = await rotations.rotate(command, target, input, ceilingOf(accepted))
    ctx.status = 201
    answer.send(ctx, seen.id, { ...token, lastAccessed: seen.lastAccessed ?? null }, { token: secret })
  }

  const rotate = changing(async (ctx, command, accepted) => {
    const seen = await find(ctx, accepted)
    try {
      await rotateSeen(ctx, command, accepted, seen)
    } catch (error) {
      throw withItsEnd(error)
    }
  })

  const rotateItself = changingItself(async (ctx, command, accepted) => {
    const seen = await find(ctx, accepted)
    if (!seen.rotatable) throw tokenMayNot('To rotate a token that may not do so itself')
    // The record is that of the secret that was sent.
    if (accepted.record?.retiresAt !== Number.POSITIVE_INFINITY)
      throw new Problem('secret_retiring', 'Use the newer secret: this one is about to retire.')
    await rotateSeen(ctx, command, accepted, seen)
  })

  const end = changing(async (ctx, command, accepted) => {
    const seen = await find(ctx, accepted)
    const { status } = parseEnd(queryOf(ctx))
    await rotations.end(command, { seen, ifMatch: ifMatchOf(ctx) }, status)
    ctx.status = 204
  })

  const ifMatch = { 'If-Match': 'The ETag that the rotation is based on.' }
  const rotation = {
    method: 'post' as const,
    query: schemas.noQuery,
    body: {
      schema: schemas.rotationBody,
      types: JSON_TYPES,
      isOptional: true,
      example: { grace_seconds: 3_600, activate: 'on_first_use' },
    },
    headers: ifMatch,
    answers: {
      201: {
        description: 'The token with its newer secret, which is in this answer only.',
        schema: schemas.refTo('CreatedToken'),
        headers: { ETag: 'The revision in quotes.' },
      },
    },
  }
  const refusals = [
    'not_found',
    'scope_not_grantable',
    'token_revoked',
    'token_damaged',
    'rotation_under_way',
    'precondition_failed',
    'token_history_full',
    'conflict',
  ] as const

  return [
    {
      ...rotation,
      path: `${TOKENS}/self/rotations`,
      operationId: 'rotateSelf',
      summary: 'Give the token that asks another secret, if it is `rotatable`',
      who: 'token',
      problems: ['token_may_not_manage', 'secret_retiring', ...refusals],
      handle: rotateItself,
    },
    {
      ...rotation,
      path: `${TOKENS}/:id/rotations`,
      operationId: 'rotateToken',
      summary: 'Give a token another secret; the older one stays good for a time',
      who: 'jwt',
      problems: [...refusals],
      handle: rotate,
    },
    {
      method: 'delete',
      path: `${TOKENS}/:id/rotations`,
      operationId: 'endRotation',
      summary: 'End a rotation at once: one of the two secrets dies',
      who: 'jwt',
      query: schemas.endRotationQuery,
      headers: ifMatch,
      answers: { 204: { description: 'Ended: no request with the dead secret is accepted any more.' } },
      problems: [
        'not_found',
        'token_revoked',
        'token_damaged',
        'no_such_rotation',
        'precondition_failed',
        'token_history_full',
        'conflict',
      ],
      handle: end,
    },
  ]
}

/** Says how somebody who manages the token ends its rotation here. */
function withItsEnd(error: unknown): unknown {
  if (!(error instanceof Refusal) || error.code !== 'rotation_under_way') return error
  return new Problem(error.code, `${error.message} DELETE …/rotations?status=grace ends it.`)
}
