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

/** An origin in the one spelling that equal ones have; null for what is none, as `null` is or what has a path. */
export function originOf(text: string): string | null {
  const origin = parse(text)
  return origin && `${origin.scheme}://${origin.authority}`
}

/**
 * Has the origin of a page the host and port of the server that is asked? Whether the scheme is the same cannot be known
 * behind a proxy that ends TLS: a port that `host` does not name is the one that the origin's scheme implies.
 * @param host as the header `Host` has it
 */
export function isOriginOf(text: string, host: string): boolean {
  const origin = parse(text)
  return (
    origin !== null && origin.scheme in DEFAULT_PORTS && origin.authority === authorityOf(host, origin.scheme)
  )
}
