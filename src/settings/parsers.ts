import { parseAddress } from '../adapters/eventstoredb/address.ts'
import { hasDotSegment } from '../domain/dotSegment.ts'
import { isScope } from '../domain/rules.ts'
import { isSecureUrl } from '../domain/secureUrl.ts'

/** Reads a setting. What it throws says what is wrong, and never holds the value. */
export type Parse<T> = (text: string) => T

export const integer =
  (min: number, max: number): Parse<number> =>
  (text) => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new Error(`must be a whole number from ${min} to ${max}`)
    }
    return value
  }

export const oneOf =
  <T extends string>(values: readonly T[]): Parse<T> =>
  (text) => {
    const value = values.find((candidate) => candidate === text)
    if (value === undefined) throw new Error(`must be one of ${values.join(', ')}`)
    return value
  }

export const trueOrFalse: Parse<boolean> = (text) => oneOf(['true', 'false'] as const)(text) === 'true'

export const matching =
  (pattern: RegExp, what: string): Parse<string> =>
  (text) => {
    if (!pattern.test(text)) throw new Error(`must be ${what}`)
    return text
  }

/** Names of headers that have another meaning already. */
const TAKEN =
  /^(authorization|cookie|host|connection|content-.*|transfer-encoding|if-match|idempotency-key)$/i

export function tokenHeader(text: string): string {
  if (!/^[\w!#$%&'*+.^`|~-]{1,64}$/.test(text) || TAKEN.test(text))
    throw new Error('must be a header name of its own')
  return text
}

/** A URL that is asked as it is. */
export function secureUrl(text: string): string {
  if (isSecureUrl(text)) return text
  throw new Error('must be a URL of https (http on this machine), without user, password and #')
}

export function publicUrl(text: string): string {
  if (!isSecureUrl(text) || text.includes('?') || hasDotSegment(text))
    throw new Error(
      'must be an https URL, or http on this machine, without user, password, ? and #, and without . and .. in its path',
    )
  return text.replace(/\/+$/, '')
}

export function scopeName(text: string): string {
  if (!isScope(text)) throw new Error('must be a scope like tokenledger:operator')
  return text
}

/** Is the store in a file, or in the memory of this process? */
export const isFile = (url: string): boolean => url.startsWith('sqlite:')

/** Is the store only in the memory of its process, and lost when that ends? This is for tests. */
export const isInMemory = (url: string): boolean => url === 'sqlite::memory:'

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i

/** Is the store in a file, or are all of its servers on this machine? */
export function isOnThisMachine(url: string): boolean {
  // The host in a `+srv` URL is a name in the DNS, which in turn names the servers.
  const [, scheme = '', hosts = ''] = /^([a-z+]+):\/\/(?:[^@/?]*@)?([^/?]+)/.exec(url) ?? []
  return isFile(url) || (!scheme.endsWith('+srv') && hosts.split(',').every((host) => LOOPBACK.test(host)))
}

// A URL may hold a password, so messages about a URL never contain it.

export function eventStoreUrl(text: string): string {
  if (/^sqlite:.+/.test(text)) return text
  if (!/^(esdb|kurrentdb)(\+discover)?:/.test(text)) {
    throw new Error('must be sqlite:<path>, esdb://<host>:<port> or esdb+discover://<host>:<port>')
  }
  try {
    parseAddress(text)
  } catch (error) {
    throw new Error(`must be an address that can be used: ${(error as Error).message}`, { cause: error })
  }
  return text
}

export const readModelUrl = matching(
  /^(sqlite:.+|mongodb(\+srv)?:\/\/[^/\s].*)$/,
  'sqlite:<path>, mongodb://<host>:<port>/<database> or mongodb+srv://<host>/<database>',
)
