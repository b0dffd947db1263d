import { createJwtVerifier, keyFinder } from '../../src/adapters/jwt/verifier.ts'
import { developmentJwt } from '../../src/settings/developmentJwt.ts'
import { assertStored } from '../cli/storedSettings.ts'
import { keysOf } from '../../src/settings/devSecrets.ts'
import { jwtChecksOf, readSettings, type Settings } from '../../src/settings/settings.ts'
import { defineCommand, JSON_OPTION, WrongUse } from '../cli/command.ts'
import { json } from '../cli/output.ts'

const DEFAULT_ACCOUNT = 'acct_1'
const DEFAULT_TTL = '1h'
const MAX_TTL = 365 * 86_400
const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 } as const

export const jwt = defineCommand({
  name: 'jwt',
  summary: 'Make a JWT for development, as the login of your product would.',
  usage: '[--account <id>] [--ttl <time>] [--scope <scopes>] [--json]',
  help: 'Signed with JWT_SECRET, or with the development secret in data/dev-secrets.json, which is made if need be.\nNot in production, and not where only public keys are configured.',
  args: [],
  options: {
    account: { type: 'string', value: '<id>', help: `Account it speaks for. Default: ${DEFAULT_ACCOUNT}.` },
    ttl: {
      type: 'string',
      value: '<time>',
      help: `How long it is good: seconds, or 15m, 12h, 30d. Default: ${DEFAULT_TTL}.`,
    },
    scope: { type: 'string', value: '<scopes>', help: 'Scopes, separated by spaces.' },
    json: JSON_OPTION,
  },
  async run({ values }, io) {
    const settings = readSettings(io.env)
    const ttl = ttlFrom(values.ttl ?? DEFAULT_TTL)
    const accountId = values.account ?? DEFAULT_ACCOUNT
    const scopes = (values.scope ?? '').split(' ').filter((scope) => scope !== '')
    const secret = secretOf(settings)
    const token = developmentJwt(settings, secret, accountId, ttl, scopes)
    const expiresAt = await assertAccepted(settings, secret, token, scopes)
    io.out(values.json ? json({ jwt: token, account_id: accountId, expires_at: expiresAt }) : `${token}\n`)
    return 0
  },
})

/** @throws WrongUse if this process must not sign as a login does, or cannot */
function secretOf(settings: Settings): string {
  if (settings.production) throw new WrongUse('Not in production: there your login makes the JWTs.')
  const { jwtKeys } = settings
  if (jwtKeys && !('secret' in jwtKeys)) {
    throw new WrongUse(
      'JWTs are verified with configured keys that this command does not sign with. Set JWT_SECRET instead.',
    )
  }
  // A service in memory has a secret of its own, which nobody else knows.
  if (!jwtKeys) assertStored(settings)
  const secret = jwtKeys?.secret ?? keysOf(settings).developmentSecret
  if (secret === null) throw new WrongUse('There is no secret to sign with: set JWT_SECRET.')
  return secret
}

/** Verifies the JWT as the service does, so that only a good one is printed. @returns when it expires, RFC 3339 */
async function assertAccepted(
  settings: Settings,
  secret: string,
  token: string,
  scopes: readonly string[],
): Promise<string> {
  const claims = await createJwtVerifier(jwtChecksOf(settings), keyFinder({ secret })).verify(token)
  if ('refused' in claims || claims.accountId === null)
    throw new WrongUse(
      '--account must be 1 to 255 characters, without control characters, and without spaces at its ends.',
    )
  if ((claims.scopes ?? []).length < scopes.length) {
    throw new WrongUse('--scope must be scopes like orders:read, separated by spaces.')
  }
  const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))
  return new Date(exp * 1000).toISOString()
}

/** `90`, `90s`, `15m`, `12h` or `30d` to seconds. @throws WrongUse */
export function ttlFrom(text: string): number {
  const [, digits, unit = 's'] = /^(\d{1,9})([smhd])?$/.exec(text) ?? []
  const seconds = Number(digits) * SECONDS[unit as keyof typeof SECONDS]
  if (!(seconds >= 1 && seconds <= MAX_TTL)) {
    throw new WrongUse('--ttl must be seconds, or a number with s, m, h or d, from 1 second to 365 days.')
  }
  return seconds
}
