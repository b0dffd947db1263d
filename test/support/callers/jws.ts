import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { expect } from 'chai'
import type { JwtOptions } from '../../../src/index.ts'
import { bearer, callerOf } from './caller.ts'
import { SECRET, startLedger, type TestService } from '../processes/ledger.ts'

/** Makes JWTs by hand that no library would make. */

export const HS256 = { alg: 'HS256', typ: 'JWT' }
export const exp = () => Math.floor(Date.now() / 1000) + 3600
export const good = () => ({ sub: 'acct_1', exp: exp() })

export const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** Whatever the payload is, the signature is right. */
export function forge(header: object, payload: unknown, secret = SECRET): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}

/** The same, signed with an RSA key. */
export function sealed(header: unknown, payload: unknown, key: KeyObject, digest = 'sha256'): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${sign(digest, Buffer.from(input), key).toString('base64url')}`
}

export const statusOf = async ({ url }: TestService, token: string): Promise<number> =>
  (await callerOf(url).get('/auth/verify', bearer(token))).status

/** @param tokens keyed by what is wrong with them */
export async function assertRefused(service: TestService, tokens: Record<string, string>): Promise<void> {
  for (const [what, token] of Object.entries(tokens)) {
    expect(await statusOf(service, token), what).to.equal(401)
  }
}

/** Runs a service with these keys while the test lasts. */
export async function withLedger(
  options: JwtOptions,
  test: (service: TestService) => Promise<void>,
): Promise<void> {
  const service = await startLedger({ jwt: options })
  try {
    await test(service)
  } finally {
    await service.close()
  }
}

type KeyPair = { publicKey: string; privateKey: string }
export function pair(type: 'rsa', options: { modulusLength: number }): KeyPair
export function pair(type: 'ec', options: { namedCurve: string }): KeyPair
export function pair(type: 'ed25519'): KeyPair
export function pair(type: 'rsa' | 'ec' | 'ed25519', options: object = {}): KeyPair {
  return generateKeyPairSync(type as 'rsa', {
    modulusLength: 2048,
    ...options,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
}

export const rsa = pair('rsa', { modulusLength: 2048 })
export const p256 = pair('ec', { namedCurve: 'P-256' })
