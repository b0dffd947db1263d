import { hash, type KeyObject, verify } from 'node:crypto'
import type { Context } from 'koa'
import type { Telemetry } from '../../application/ports/telemetry.ts'
import { createGate, type GateOptions } from '../../application/scheduling/gate.ts'
import type { LeakReport, TakeLeaks } from '../../application/tokens/leaks.ts'
import { limitedBy } from '../../application/usage/countedAuthentication.ts'
import { unauthorized } from '../authentication/authenticate.ts'
import { whileWaitedFor } from '../authentication/authenticated.ts'
import type { CallerAddress } from '../callerAddress.ts'
import { readRaw } from '../input/rawBody.ts'
import { invalid } from '../input/validate.ts'
import { strangerOf } from '../lineQuota.ts'
import { sendLongJson } from '../longJson.ts'
import { leakLabels, leakReports } from '../openapi/leakSchemas.ts'
import { Problem } from '../problem.ts'
import { type RateLimit, rateLimited } from '../rateLimit.ts'
import { contextOf, requestStateOf } from '../requestState.ts'
import type { Route } from '../route.ts'

interface Dependencies {
  takeLeaks: TakeLeaks
  /** The key of a reporter by its id. */
  findKey: (id: string) => KeyObject | undefined | Promise<KeyObject | undefined>
  failures: RateLimit
  addressOf: CallerAddress
  telemetry: Pick<Telemetry, 'log'>
}

/** The largest length of a report, in bytes. */
const LIMIT = 1024 * 1024
/** Nobody vouches for a body before it is read, so few are held at a time, and fewer of one address. */
const BODIES: GateOptions = { atOnce: 32, waiting: 64, waitMs: 2_000 }
const BODIES_OF_ONE = 8
/** The largest length of a header of the signature, in characters. */
const LONGEST = 200
const REPORTER = 'github'

/** Reports of leaked secrets, as partners of GitHub's secret scanning get them. */
export function leakRoutes({ takeLeaks, findKey, failures, addressOf, telemetry }: Dependencies): Route[] {
  const bodies = createGate(BODIES)

  function refuse(ctx: Context): never {
    const { requestId, address } = requestStateOf(ctx)
    telemetry.log.info(
      { requestId, kind: 'leak report', ...strangerOf(ctx, 'signature') },
      'credential refused',
    )
    const quota = failures.count(limitedBy(address))
    throw quota.exceeded ? rateLimited(quota) : unauthorized(true)
  }

  const handle = async (ctx: Context) => {
    ctx.set('Cache-Control', 'no-store')
    const address = addressOf(ctx.req)
    requestStateOf(ctx).address = address
    const [id, signature] = ['identifier', 'signature'].map((name) =>
      headerOf(ctx, `github-public-key-${name}`),
    )
    if (!id || !signature) refuse(ctx)
    const key = await findKey(id)
    if (!key) refuse(ctx)
    const sender = { name: () => limitedBy(address), left: () => BODIES_OF_ONE }
    const body = await bodies.run(() => readRaw(ctx, LIMIT), sender)
    if (!verify('sha256', body, key, Buffer.from(signature, 'base64'))) refuse(ctx)
    const reports = reportsIn(body)
    const context = contextOf(ctx, { kind: 'system', id: REPORTER })
    const isOurs = await takeLeaks(context, reports, REPORTER)
    const labels = reports.map(({ secret, type }, i) => ({
      token_hash: hash('sha256', secret),
      token_type: type,
      label: isOurs[i] ? 'true_positive' : 'false_positive',
    }))
    await whileWaitedFor(ctx, (gone) => sendLongJson(ctx, labels, gone))
  }

  return [
    {
      method: 'post',
      path: '/leaks/github',
      operationId: 'reportLeaks',
      summary: "Secrets that were found in public, by the protocol of GitHub's secret scanning",
      who: 'signed',
      headers: {
        'Github-Public-Key-Identifier': 'Which key has signed.',
        'Github-Public-Key-Signature': 'ECDSA of P-256 with SHA-256 over the body, in base64.',
      },
      body: { schema: leakReports, types: ['application/json'] },
      answers: {
        200: { description: 'Which of them are, or ever were, secrets of tokens.', schema: leakLabels },
      },
      problems: [],
      handle,
    },
  ]
}

function headerOf({ req }: Context, name: string): string | null {
  const value = req.headers[name]
  return typeof value === 'string' && value.length <= LONGEST ? value : null
}

/** Read only when the signature was found good. @throws Problem 400, 422 */
function reportsIn(body: Buffer): LeakReport[] {
  let reports: unknown
  try {
    reports = JSON.parse(body.toString('utf8'))
  } catch {
    throw new Problem('malformed_request', 'The body is not valid JSON.')
  }
  if (!Array.isArray(reports)) throw invalid([{ pointer: '', message: 'must be a list' }])
  return reports.map((report: unknown, i) => {
    const { token, type, url, source } = Object(report) as Record<string, unknown>
    if (typeof token !== 'string') throw invalid([{ pointer: `/${i}/token`, message: 'must be text' }])
    return { secret: token, type: textOf(type), url: textOf(url), source: textOf(source) }
  })
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
