import type { IncomingMessage } from 'node:http'
import type { Credential } from '../../application/authentication/authenticate.ts'
import { isLegacyToken } from '../../domain/credential.ts'
import { Problem } from '../problem.ts'

/**
 * Finds the one credential of a request (RFC 6750 for `Bearer`). If the API token header is there, it alone decides,
 * even if it is empty. Otherwise `Authorization: Bearer` decides: it holds a token if it begins with the prefix, else a
 * JWT. Any other scheme counts as no credential.
 * @param acceptLegacy treats a value of the API token header as an older system's token if it may be one
 * @throws Problem `duplicate_credential` if a header comes twice
 */
export function credentialReader(
  headerName: string,
  prefix: string,
  acceptLegacy: boolean,
): (request: IncomingMessage) => Credential | null {
  const tokenHeader = headerName.toLowerCase()
  const tokenStart = `${prefix}_`

  return ({ rawHeaders }) => {
    let token: string | undefined
    let authorization: string | undefined
    // The raw headers show doubles. Node's own view keeps the first Authorization, and joins other headers that come
    // twice.
    for (let i = 0; i < rawHeaders.length; i += 2) {
      const name = rawHeaders[i] as string
      if (name.length === tokenHeader.length && name.toLowerCase() === tokenHeader) {
        if (token !== undefined) throw duplicate(headerName)
        token = rawHeaders[i + 1] as string
      } else if (name.length === 13 && name.toLowerCase() === 'authorization') {
        if (authorization !== undefined) throw duplicate('Authorization')
        authorization = rawHeaders[i + 1] as string
      }
    }
    if (token !== undefined) {
      return { kind: acceptLegacy && isLegacyToken(prefix, token) ? 'legacy' : 'token', value: token }
    }
    const bearer = authorization === undefined ? null : bearerValue(authorization)
    if (bearer === null) return null
    return { kind: bearer.startsWith(tokenStart) ? 'token' : 'jwt', value: bearer }
  }
}

/** The text after `Bearer`, empty if there is none; null for another scheme. */
function bearerValue(authorization: string): string | null {
  const scheme = authorization.slice(0, 6)
  if (scheme !== 'Bearer' && scheme.toLowerCase() !== 'bearer') return null
  if (authorization.length === 6) return ''
  return authorization[6] === ' ' ? authorization.slice(7).trim() : null
}

const duplicate = (header: string) =>
  new Problem('duplicate_credential', `Send one ${header} header, or none.`)
