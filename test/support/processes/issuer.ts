import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createPublicKey, generateKeyPairSync, type JsonWebKey, type KeyObject } from 'node:crypto'
import jwt from 'jsonwebtoken'

export interface SigningKey {
  kid: string | undefined
  algorithm: 'RS256' | 'ES256'
  privateKey: KeyObject
  /** As the issuer publishes it. */
  jwk: JsonWebKey & Record<string, unknown>
}

export function signingKey(kid?: string, type: 'rsa' | 'ec' = 'ec', members: object = {}): SigningKey {
  const { privateKey } =
    type === 'ec'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 })
  const algorithm = type === 'ec' ? 'ES256' : 'RS256'
  const own = { ...(kid === undefined ? {} : { kid }), use: 'sig', alg: algorithm, ...members }
  const jwk = { ...createPublicKey(privateKey).export({ format: 'jwk' }), ...own }
  return { kid, algorithm, privateKey, jwk }
}

/** A JWT for acct_1 that is good for an hour, unless the claims say otherwise. */
export const signedBy = ({ kid, algorithm, privateKey }: SigningKey, claims: object): string =>
  jwt.sign({ sub: 'acct_1', exp: Math.floor(Date.now() / 1000) + 3600, ...claims }, privateKey, {
    algorithm,
    ...(kid === undefined ? {} : { keyid: kid }),
  })

type Respond = (response: ServerResponse) => void

export const sending =
  (document: unknown, status = 200, headers: Record<string, string> = {}): Respond =>
  (response) => {
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers })
    response.end(typeof document === 'string' ? document : JSON.stringify(document))
  }

export interface TestIssuer {
  url: string
  /** The paths that were asked for, in order. */
  asked: string[]
  /** What is answered at a path. Anything else is 404. */
  at: Record<string, Respond>
  /** Answers with these keys from now on. */
  publish(...keys: SigningKey[]): void
  close(): Promise<void>
}

export const KEYS = '/certs'
export const DISCOVERY = '/.well-known/openid-configuration'

/** An issuer of JWTs on loopback, with a discovery document for `url`. */
export async function startIssuer(port = 0): Promise<TestIssuer> {
  const asked: string[] = []
  const at: TestIssuer['at'] = {}
  const server = createServer(({ url = '' }, response) => {
    asked.push(url)
    const respond = at[url] ?? sending({}, 404)
    respond(response)
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  at[DISCOVERY] = sending({ issuer: url, jwks_uri: url + KEYS })
  return {
    url,
    asked,
    at,
    publish(...keys) {
      at[KEYS] = sending({ keys: keys.map(({ jwk }) => jwk) })
    },
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      return closed
    },
  }
}
