import type { Context } from 'koa'
import { type Clock, iso } from '../../application/ports/clock.ts'
import type { Telemetry } from '../../application/ports/telemetry.ts'
import type { Identify } from '../../application/tokens/identify.ts'
import { type Manage, revokeOrClose, targetOf } from '../../application/tokens/manage.ts'
import { type CountedAuthentication, limitedBy } from '../../application/usage/countedAuthentication.ts'
import { canonicalAddress } from '../../domain/address.ts'
import { isLegacyToken } from '../../domain/credential.ts'
import type { Client } from '../../domain/principal.ts'
import { type Introspected, presentIntrospection } from '../../presentation/introspection.ts'
import { clientOf } from '../authentication/oauthClients.ts'
import type { CallerAddress } from '../callerAddress.ts'
import { readRaw } from '../input/rawBody.ts'
import { strangerOf } from '../lineQuota.ts'
import * as schemas from '../openapi/oauthSchemas.ts'
import { type Quota, type RateLimit, rateLimited } from '../rateLimit.ts'
import { contextOf, requestStateOf } from '../requestState.ts'
import { type Route, sendJson } from '../route.ts'

interface Dependencies {
  /** The SHA-256 of each client's secret, in hex, by the client's id. */
  clients: ReadonlyMap<string, string>
  /** Where callers see the service; null: nobody has said it. */
  publicUrl: string | null
  authenticate: CountedAuthentication<Quota>
  /** Of wrong clients, by the address of the peer. */
  failures: RateLimit
  identify: Identify
  manage: Pick<Manage, 'revoke'>
  addressOf: CallerAddress
  clock: Clock
  tokenPrefix: string
  acceptLegacyTokens: boolean
  telemetry: Pick<Telemetry, 'authenticated' | 'log'>
}

type Handle = (ctx: Context, client: Client, form: URLSearchParams) => Promise<void>

const FORM = 'application/x-www-form-urlencoded'
/** The largest length of a form, in bytes. */
const LIMIT = 32 * 1024
/** The largest length of a token, in characters: imported ones may have any form. */
const LONGEST_TOKEN = 512
const METADATA = '/.well-known/oauth-authorization-server'

/** Introspection (RFC 7662), revocation (RFC 7009), and the metadata that say where they are (RFC 8414). */
export function oauthRoutes(deps: Dependencies): Route[] {
  const { clients, publicUrl, authenticate, failures, identify, manage, telemetry } = deps

  /** Whoever is no client is told so, and nothing else. */
  const forClients = (handle: Handle) => async (ctx: Context) => {
    ctx.set('Cache-Control', 'no-store')
    const state = requestStateOf(ctx)
    state.address = deps.addressOf(ctx.req)
    const client = clientOf(ctx, clients)
    telemetry.authenticated('client', client ? 'accepted' : 'unknown')
    if (!client) return refuseClient(ctx)
    state.caller = client
    const form = await readForm(ctx)
    if (typeof form === 'string') return refuseForm(ctx, form)
    await handle(ctx, client, form)
  }

  function refuseClient(ctx: Context): void {
    const { requestId, address } = requestStateOf(ctx)
    telemetry.log.info({ requestId, kind: 'client', ...strangerOf(ctx, 'unknown') }, 'credential refused')
    const quota = failures.count(limitedBy(address))
    if (quota.exceeded) throw rateLimited(quota)
    ctx.set('WWW-Authenticate', 'Basic realm="tokenledger"')
    sendError(ctx, 401, { error: 'invalid_client' })
  }

  const introspect = forClients(async (ctx, client, form) => {
    const value = form.get('token') ?? ''
    const asked = form.get('client_ip')
    const ip = asked === null ? null : canonicalAddress(asked)
    if (asked !== null && ip === null) return refuseForm(ctx, 'client_ip must be an IP address')
    const isLegacy = deps.acceptLegacyTokens && isLegacyToken(deps.tokenPrefix, value)
    const decision = await authenticate({
      credential: { kind: isLegacy ? 'legacy' : 'token', value },
      ip,
      purpose: () => ({ method: 'CALL', route: client.subject, userAgent: null }),
      // What the request with this token came to is not known here.
      onAccepted: (count) => count('accepted'),
      isLimited: asked !== null,
    })
    if ('refused' in decision) {
      const { refused: reason, over, expired: _, ...known } = decision
      telemetry.log.info(
        { requestId: requestStateOf(ctx).requestId, kind: 'token', reason, ...known },
        'credential refused',
      )
      if (over) throw rateLimited(over)
    }
    const token: Introspected | null = 'refused' in decision ? null : decision.record
    sendJson(ctx, presentIntrospection(token))
  })

  const revoke = forClients(async (ctx, { kind, subject }, form) => {
    const [found] = await identify([form.get('token') ?? ''])
    // A secret that a rotation has replaced is dead already, and its token has another one.
    if (found && !found.isDead) {
      const target = targetOf(found.token, () => true, iso(deps.clock()))
      await revokeOrClose(manage, contextOf(ctx, { kind, id: subject }), target, null)
    }
    // A token that there is not is as good as revoked (RFC 7009 §2.2).
    ctx.body = ''
    ctx.remove('Content-Type')
  })

  const metadata = (ctx: Context) => {
    ctx.set('Cache-Control', 'no-store')
    sendJson(ctx, {
      issuer: publicUrl,
      introspection_endpoint: `${publicUrl}/oauth/introspect`,
      introspection_endpoint_auth_methods_supported: ['client_secret_basic'],
      revocation_endpoint: `${publicUrl}/oauth/revoke`,
      revocation_endpoint_auth_methods_supported: ['client_secret_basic'],
      response_types_supported: [],
      grant_types_supported: [],
    })
  }

  const refusals = {
    400: { description: 'The form cannot be read.', schema: schemas.oauthError },
    401: {
      description: 'No such client, or a wrong secret.',
      schema: schemas.oauthError,
      headers: { 'WWW-Authenticate': 'Basic.' },
    },
  }
  const ofClients = { method: 'post' as const, who: 'client' as const, problems: [] }
  return [
    {
      ...ofClients,
      path: '/oauth/introspect',
      operationId: 'introspect',
      summary: 'Is this API token good? (RFC 7662)',
      body: { schema: schemas.introspectionForm, types: [FORM] },
      answers: { 200: { description: 'Active or not.', schema: schemas.introspection }, ...refusals },
      handle: introspect,
    },
    {
      ...ofClients,
      path: '/oauth/revoke',
      operationId: 'revokeBySecret',
      summary: 'Revoke an API token (RFC 7009)',
      body: { schema: schemas.revocationForm, types: [FORM] },
      answers: { 200: { description: 'No request with it is accepted any more.' }, ...refusals },
      handle: revoke,
    },
    ...(publicUrl === null ? [] : metadataPaths(publicUrl)).map(
      (path, i): Route => ({
        method: 'get',
        path,
        operationId: i === 0 ? 'oauthMetadata' : 'oauthMetadataOfPath',
        summary: 'Where these two are (RFC 8414)',
        who: 'open',
        answers: { 200: { description: 'Metadata.', schema: schemas.metadata } },
        problems: [],
        handle: metadata,
      }),
    ),
  ]
}

/** The path of an issuer comes behind the well-known one (RFC 8414 §3.1). */
function metadataPaths(publicUrl: string): string[] {
  const { pathname } = new URL(publicUrl)
  return pathname === '/' ? [METADATA] : [METADATA, METADATA + pathname]
}

/** RFC 6749 §5.2 */
function sendError(ctx: Context, status: number, body: { error: string; error_description?: string }): void {
  ctx.status = status
  sendJson(ctx, body)
}

const refuseForm = (ctx: Context, why: string): void =>
  sendError(ctx, 400, { error: 'invalid_request', error_description: why })

/** @returns what is wrong with anything but a form with a token, in which no parameter comes twice (RFC 6749 §3.2) */
async function readForm(ctx: Context): Promise<URLSearchParams | string> {
  if (!ctx.request.is(FORM)) return `the body must be a form (${FORM})`
  const form = new URLSearchParams((await readRaw(ctx, LIMIT)).toString('utf8'))
  const token = form.get('token') ?? ''
  if (new Set(form.keys()).size < form.size) return 'a parameter must be given once'
  if (token === '') return 'token is missing'
  return token.length > LONGEST_TOKEN ? `token must have at most ${LONGEST_TOKEN} characters` : form
}
