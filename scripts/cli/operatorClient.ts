import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { isSecureUrl } from '../../src/domain/secureUrl.ts'
import { developmentJwt } from '../../src/settings/developmentJwt.ts'
import { keysOf } from '../../src/settings/devSecrets.ts'
import { readSettings, type Settings } from '../../src/settings/settings.ts'
import { CouldNotLook, type Io, NotFound, WrongUse } from './command.ts'
import { unreadable } from './inputFile.ts'

/** Asks a running service what operators may ask. */
export interface OperatorClient {
  /** @throws NotFound, CouldNotLook, WrongUse */
  get<T>(path: string, query?: Record<string, string | undefined>): Promise<T>
  post<T>(path: string, body: object): Promise<T>
}

/** The options of each command that asks a running service. */
export const SERVICE_OPTIONS = {
  url: {
    type: 'string',
    value: '<url>',
    help: 'Where the service is. Default: by HOST and PORT. https, or http on this machine.',
  },
  'jwt-file': {
    type: 'string',
    value: '<path>',
    help: 'A file with the JWT of an operator. Default: one is made where JWT_SECRET is set, good for a minute.',
  },
} as const

interface Refused {
  errors?: { pointer: string; message: string }[]
}

/** A revocation of a thousand tokens takes a while. */
const PATIENCE_MS = 120_000
const JWT_SECONDS = 60

/**
 * @throws WrongUse for a URL that would send the JWT without TLS, and where there is no JWT
 */
export function operatorClient(
  { url: given, 'jwt-file': jwtFile }: { url?: string; 'jwt-file'?: string },
  io: Io,
): OperatorClient {
  const settings = readSettings(io.env)
  const base = (given ?? defaultUrl(settings)).replace(/\/+$/, '')
  if (!isSecureUrl(base)) throw new WrongUse('--url must be an https URL, or http on this machine.')
  const jwtOf = jwtFile === undefined ? () => ownJwt(settings) : () => readJwt(jwtFile)

  async function ask<T>(method: string, path: string, body?: object): Promise<T> {
    const answer = await send(`${base}/admin${path}`, {
      method,
      redirect: 'manual',
      signal: AbortSignal.timeout(PATIENCE_MS),
      // A long run outlasts a JWT, so each request has one of its own.
      headers: { authorization: `Bearer ${jwtOf()}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    const found = parsed(text)
    if (!found)
      throw new CouldNotLook(`Something else than the service answers there, with status ${answer.status}.`)
    if (answer.ok) return found as T
    throw refusalOf(answer.status, found, path)
  }

  return {
    get(path, query = {}) {
      const asked = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined)
      return ask('GET', `${path}?${new URLSearchParams(asked)}`)
    },
    post: (path, body) => ask('POST', path, body),
  }
}

async function send(url: string, request: RequestInit): Promise<Response> {
  try {
    return await fetch(url, request)
  } catch (error) {
    const { message, cause } = error as Error
    const reason = cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? cause.message) : message
    throw new CouldNotLook(`The service does not answer at ${new URL(url).origin}: ${reason}.`)
  }
}

/** Null for what is not JSON. Nobody is shown its text. */
function parsed(text: string): object | null {
  try {
    return Object(JSON.parse(text)) as object
  } catch {
    return null
  }
}

/** What the service says of the input names places in it, and never values. */
function refusalOf(status: number, answer: Refused, path: string): Error {
  if (status === 401) return new CouldNotLook('The service does not accept this JWT.')
  if (status === 404 && path.split('/').length > 2) return new NotFound('There is no such token.')
  if (status === 404)
    return new CouldNotLook(
      'For the service this is no JWT of an operator: it lacks the scope, or the URL is wrong.',
    )
  if (status !== 422) return new CouldNotLook(`The service answers with status ${status}. Its log says why.`)
  const { errors = [] } = answer
  return new WrongUse(errors.map(({ pointer, message }) => `${pointer} ${message}.`).join(' '))
}

function defaultUrl({ host, port }: Settings): string {
  const near = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${near.includes(':') ? `[${near}]` : near}:${port}`
}

/** What the runtime says of a header that cannot be sent has all of it, so it is checked before. */
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/

function readJwt(path: string): string {
  let jwt: string
  try {
    jwt = readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw unreadable('--jwt-file', error)
  }
  if (!JWT.test(jwt)) throw new WrongUse('--jwt-file names a file that is no JWT.')
  return jwt
}

/** As the login would make it. The history names the user of this machine. */
function ownJwt(settings: Settings): string {
  const { jwtKeys, operatorScope, production } = settings
  if (operatorScope === null) throw new WrongUse('There are no operators: set OPERATOR_SCOPE.')
  const isKnown = jwtKeys ? 'secret' in jwtKeys : !production
  if (!isKnown) throw new WrongUse('Say --jwt-file, or set JWT_SECRET.')
  const secret = jwtKeys && 'secret' in jwtKeys ? jwtKeys.secret : keysOf(settings).developmentSecret
  return developmentJwt(settings, secret ?? '', userInfo().username, JWT_SECONDS, [operatorScope])
}
