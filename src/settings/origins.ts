import { hasDotSegment } from '../domain/dotSegment.ts'
import { originOf } from '../domain/origin.ts'
import { isSecureUrl } from '../domain/secureUrl.ts'

/**
 * Origins that may call the management routes, compared with the header `Origin` as it comes.
 * @param text origins of the web in the spelling that browsers send, separated by white space
 * @throws Error that says what is wrong, without the value
 */
export function parseOrigins(text: string): readonly string[] {
  const origins = text.split(/\s+/).filter((origin) => origin !== '')
  if (origins.length === 0 || !origins.every(isAsSent)) {
    throw new Error('must be origins with spaces between them, each like https://app.example.com')
  }
  return origins
}

const isAsSent = (text: string): boolean => /^https?:/.test(text) && originOf(text) === text

/**
 * Origins in any spelling, and of any scheme.
 * @param given what the host's code hands in
 * @returns each in the one spelling of `originOf`
 * @throws Error for what browsers never send as an origin
 */
export function originsOf(given: unknown): readonly string[] {
  const texts: unknown[] = Array.isArray(given) ? given : [null]
  const origins = texts.map((text) => (typeof text === 'string' ? originOf(text) : null))
  const good = origins.filter((origin) => origin !== null)
  if (good.length === origins.length) return good
  throw new Error('must be a list of origins like https://app.example.com, without a path')
}

/**
 * Where the page may send people back: URLs, separated by white space.
 * @throws Error that says what is wrong, without the value
 */
export function parseReturnUrls(text: string): readonly string[] {
  const urls = text.split(/\s+/).filter((url) => url !== '')
  const isEntry = (url: string): boolean =>
    isSecureUrl(url) && !url.includes('?') && !hasDotSegment(url) && new URL(url).href === url
  if (urls.length > 0 && urls.every((url) => isEntry(url) || isEntry(`${url}/`))) return urls
  throw new Error('must be URLs with spaces between them, each like https://app.example.com/settings')
}
