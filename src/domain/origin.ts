/** Origins of the web (RFC 6454), as browsers send them: scheme, host and port. */

const ORIGIN = /^([a-z][a-z\d+.-]*):\/\/(.+)$/i
const AUTHORITY = /^(\[[\da-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?$/i
const LARGEST_PORT = 65_535
const DEFAULT_PORTS: Record<string, number> = { http: 80, https: 443 }

interface Origin {
  scheme: string
  /** In lower case, without the port that the scheme implies. */
  authority: string
}

function parse(text: string): Origin | null {
  const [, scheme = '', rest = ''] = ORIGIN.exec(text.toLowerCase()) ?? []
  const authority = authorityOf(rest, scheme)
  return authority === null ? null : { scheme, authority }
}

function authorityOf(text: string, scheme: string): string | null {
  const [, host, port] = AUTHORITY.exec(text.toLowerCase()) ?? []
  if (host === undefined || Number(port ?? 0) > LARGEST_PORT) return null
  return port === undefined || Number(port) === DEFAULT_PORTS[scheme] ? host : `${host}:${Number(port)}`
}

/**
 * An origin in canonical spelling, which is the same for equal origins. Null for anything else, like `null` or a text
 * with a path.
 */
export function originOf(text: string): string | null {
  const origin = parse(text)
  return origin && `${origin.scheme}://${origin.authority}`
}

/**
 * Does the origin of a page have the host and port of the server that was asked? Behind a proxy that ends TLS the
 * scheme cannot be compared. If `host` names no port, the default port of the origin's scheme counts.
 * @param host the value of the header `Host`
 */
export function isOriginOf(text: string, host: string): boolean {
  const origin = parse(text)
  return (
    origin !== null && origin.scheme in DEFAULT_PORTS && origin.authority === authorityOf(host, origin.scheme)
  )
}
