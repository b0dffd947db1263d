import type { IncomingMessage } from 'node:http'
import { isOriginOf, originOf } from '../../domain/origin.ts'
import { Problem } from '../problem.ts'

const SAFE = ['GET', 'HEAD', 'OPTIONS']

/**
 * Keeps pages of other origins from using a visitor's cookie (CSRF), as `http.CrossOriginProtection` of Go 1.25 does:
 * browsers say where a request comes from. A request that does not say so is not a browser's.
 * @param trusted origins as `originOf` spells them
 * @throws Problem 403 `cross_origin`
 */
export function assertSameOrigin(
  { method, headers }: Pick<IncomingMessage, 'method' | 'headers'>,
  trusted: ReadonlySet<string>,
): void {
  if (SAFE.includes(method ?? '')) return
  const { origin } = headers
  if (origin !== undefined && trusted.has(originOf(origin) ?? '')) return
  const site = headers['sec-fetch-site']
  // Node joins header fields that come twice with commas, and such a value does not pass.
  if (site === 'same-origin' || site === 'none') return
  if (site === undefined && (origin === undefined || isOriginOf(origin, hostOf(headers)))) return
  throw new Problem('cross_origin', 'A page of another origin may not do this with your login.')
}

const hostOf = (headers: IncomingMessage['headers']): string =>
  String(headers[':authority'] ?? headers.host ?? '')
