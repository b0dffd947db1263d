import type { IncomingMessage } from 'node:http'
import type { Credential } from '../../application/authentication/authenticate.ts'
import { isLegacyToken } from '../../domain/credential.ts'
import { Problem } from '../problem.ts'

/**
 * The one credential of a request (RFC 6750 for `Bearer`). The API token header decides alone when it is there, even
 * empty; then `Authorization: Bearer`, a token by its prefix, else a JWT. Another scheme is no credential.
 * @param acceptLegacy takes what stands in the API token header and may be an older system's token for one
 * @throws Problem `duplicate_credential` for a header that comes twice
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
    // One walk over the raw headers: Node's own view keeps the first Authorization and joins doubles of the others.
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

/** What stands after `Bearer`, empty if nothing does; null for another scheme. */
function bearerValue(authorization: string): string | null {
  const scheme = authorization.slice(0, 6)
  if (scheme !== 'Bearer' && scheme.toLowerCase() !== 'bearer') return null
  if (authorization.length === 6) return ''
  return authorization[6] === ' ' ? authorization.slice(7).trim() : null
}

const duplicate = (header: string) =>
  new Problem('duplicate_credential', `Send one ${header} header, or none.`)
