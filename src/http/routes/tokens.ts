import { MANAGEMENT_PATH as TOKENS } from '../../domain/managementPath.ts'
import * as schemas from '../openapi/schemas.ts'
import type { Route } from '../route.ts'
import { type TokenDependencies, tokenHandlers } from './tokenHandlers.ts'

/** The table of `/settings/api-tokens`. */
export function tokenRoutes(deps: TokenDependencies & { newTokenExample: object }): Route[] {
  const { list, create, read, patch, revoke, events, readSelf, revokeSelf } = tokenHandlers(deps)

  const token = (description: string) => ({
    description,
    schema: schemas.refTo('Token'),
    headers: { ETag: 'The revision in quotes.' },
  })
  const tokenNowOrThen = {
    description: 'The token as it is; with `at` as it was then, without an ETag.',
    schema: { anyOf: [schemas.refTo('Token'), schemas.refTo('TokenAt')] },
    headers: { ETag: 'The revision in quotes; not with `at`.' },
  }
  const page = (schema: 'TokenPage' | 'HistoryPage', operationId: string, of: object = {}) => ({
    description: 'One page.',
    schema: schemas.refTo(schema),
    headers: { Link: 'The next page, `rel="next"`, where there is one.' },
    // Callers take a cursor from an answer, and never make one up.
    links: { next: { operationId, parameters: { ...of, cursor: '$response.body#/next_cursor' } } },
  })
  const ifMatch = { 'If-Match': 'The ETag that the change is based on.' }
  const id = `${TOKENS}/:id`
  const self = `${TOKENS}/self`

  return [
    {
      method: 'get',
      path: TOKENS,
      operationId: 'listTokens',
      summary: "The account's tokens",
      who: 'any',
      query: schemas.listQuery,
      answers: { 200: page('TokenPage', 'listTokens') },
      problems: ['validation_failed'],
      handle: list,
    },
    {
      method: 'post',
      path: TOKENS,
      operationId: 'createToken',
      summary: 'Create a token; its credential is in this answer only',
      who: 'jwt',
      query: schemas.noQuery,
      body: {
        schema: schemas.createBody,
        types: ['application/json', 'application/merge-patch+json'],
        example: deps.newTokenExample,
      },
      headers: {
        'Idempotency-Key': '1 to 255 visible ASCII characters: the same key and body make one token.',
      },
      answers: {
        200: {
          ...token('The token that this key made before, as it is now.'),
          headers: { ETag: 'The revision in quotes.', 'Idempotency-Replayed': '`true`' },
        },
        201: {
          description: 'Created.',
          schema: schemas.refTo('CreatedToken'),
          headers: { ETag: 'The revision in quotes.', Location: 'Path of the token.' },
        },
      },
      problems: [
        'invalid_idempotency_key',
        'idempotency_key_reused',
        'scope_not_grantable',
        'token_limit_reached',
        'token_damaged',
        'conflict',
      ],
      handle: create,
    },
    {
      method: 'get',
      path: self,
      operationId: 'readSelf',
      summary: "The token's own resource",
      who: 'token',
      query: schemas.readQuery,
      answers: { 200: tokenNowOrThen },
      problems: ['not_found', 'token_damaged'],
      handle: readSelf,
    },
    {
      method: 'delete',
      path: self,
      operationId: 'revokeSelf',
      summary: 'Revoke the token that asks',
      who: 'token',
      query: schemas.revokeQuery,
      headers: ifMatch,
      answers: { 204: { description: 'Revoked.' } },
      problems: ['not_found', 'token_damaged', 'precondition_failed', 'conflict'],
      handle: revokeSelf,
    },
    {
      method: 'get',
      path: id,
      operationId: 'readToken',
      summary: 'One token; a revoked one too',
      who: 'any',
      query: schemas.readQuery,
      answers: { 200: tokenNowOrThen },
      problems: ['not_found', 'token_damaged'],
      handle: read,
    },
    {
      method: 'patch',
      path: id,
      operationId: 'updateToken',
      summary: 'Change a token (RFC 7396)',
      who: 'jwt',
      query: schemas.noQuery,
      body: {
        schema: schemas.patchBody,
        types: ['application/merge-patch+json', 'application/json'],
        example: { name: 'CI deploy', metadata: { team: 'shop' } },
      },
      headers: ifMatch,
      answers: { 200: token('The token as it is now.') },
      problems: [
        'not_found',
        'scope_not_grantable',
        'token_revoked',
        'token_damaged',
        'precondition_failed',
        'token_history_full',
        'token_limit_reached',
        'conflict',
      ],
      handle: patch,
    },
    {
      method: 'delete',
      path: id,
      operationId: 'revokeToken',
      summary: 'Revoke; again is the same',
      who: 'jwt or the token itself',
      query: schemas.revokeQuery,
      headers: ifMatch,
      answers: { 204: { description: 'Revoked: no request with this token is accepted any more.' } },
      problems: ['not_found', 'token_damaged', 'precondition_failed', 'conflict'],
      handle: revoke,
    },
    {
      method: 'get',
      path: `${id}/events`,
      operationId: 'tokenEvents',
      summary: 'History of one token, oldest first',
      who: 'any',
      query: schemas.pageQuery,
      answers: { 200: page('HistoryPage', 'tokenEvents', { id: '$request.path.id' }) },
      problems: ['not_found'],
      handle: events,
    },
  ]
}
