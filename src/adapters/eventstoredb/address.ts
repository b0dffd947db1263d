/** Where the server is, and our credentials. The connection string does not hold these, so that it can be shown. */
export interface Address {
  connectionString: string
  credentials: { username: string; password: string }
  /** For messages: hosts and ports. */
  hosts: string
  isSecure: boolean
  hasUser: boolean
  /** A file with certificates of authorities; null: those that Node trusts. */
  caFile: string | null
}

/**
 * The options of the client that may be set. If any other were, the client would print the whole string to the console.
 */
const KNOWN_OPTIONS = new Set([
  'connectionname',
  'defaultdeadline',
  'discoveryinterval',
  'gossiptimeout',
  'keepaliveinterval',
  'keepalivetimeout',
  'maxdiscoverattempts',
  'nodepreference',
  'tls',
  'tlscafile',
  'tlsverifycert',
])

/**
 * An insecure server ignores credentials. They are passed because the client then makes a separate call for each
 * append.
 */
const NOBODY = { username: 'nobody', password: 'nobody' }

const SHAPE =
  /^(?:esdb|kurrentdb)(?<discover>\+discover)?:\/\/(?:(?<username>[^:@/?]+):(?<password>[^@/?]+)@)?(?<hosts>[^@/?]+)\/?(?:\?(?<query>.*))?$/

/**
 * Reads `esdb://user:password@host:2113,host:2113?tls=false`; `esdb+discover`, `kurrentdb` and `kurrentdb+discover` are
 * the other schemes. User and password are percent-encoded.
 * @throws TypeError whose message says what is wrong, and never quotes a part that could be a secret
 */
export function parseAddress(url: string): Address {
  const parts = SHAPE.exec(url.trim())?.groups
  if (!parts?.hosts) {
    throw new TypeError(
      'not an address like esdb://user:password@host:2113 (user and password are percent-encoded)',
    )
  }
  const query = new Map(
    (parts.query ?? '').split('&').flatMap((option) => (option === '' ? [] : [readOption(option)])),
  )
  const tls = query.get('tls') ?? 'true'
  if (tls !== 'true' && tls !== 'false') throw new TypeError('tls must be true or false')
  const isSecure = tls === 'true'
  if (query.get('tlsverifycert') === 'false') {
    throw new TypeError('tlsVerifyCert=false has no effect: name the certificate authority with tlsCAFile')
  }
  if (isSecure && parts.username === undefined) {
    throw new TypeError(
      'a server with TLS needs a user and a password in its address; one without TLS needs tls=false',
    )
  }
  const options = [...query].map(([key, value]) => `${key}=${value}`)
  return {
    connectionString: `esdb${parts.discover ?? ''}://${parts.hosts}?${options.join('&')}`.replace(/\?$/, ''),
    credentials: parts.username === undefined ? NOBODY : readCredentials(parts),
    hosts: parts.hosts,
    isSecure,
    hasUser: parts.username !== undefined,
    caFile: query.get('tlscafile') ?? null,
  }
}

function readOption(option: string): [key: string, value: string] {
  const [, name = '', value = ''] = /^([^=]*)=(.*)$/.exec(option) ?? []
  const key = name.toLowerCase().replace(/[_-]/g, '')
  if (!KNOWN_OPTIONS.has(key) || value === '') {
    throw new TypeError(
      `an option of the address is none of ${[...KNOWN_OPTIONS].join(', ')}, or has no value`,
    )
  }
  return [key, value]
}

function readCredentials({ username = '', password = '' }: Record<string, string | undefined>) {
  try {
    return { username: decodeURIComponent(username), password: decodeURIComponent(password) }
  } catch {
    throw new TypeError('user and password in an address are percent-encoded')
  }
}
