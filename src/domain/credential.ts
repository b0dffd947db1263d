import { createHmac, hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { cutText } from './text.ts'

/**
 * API tokens: `<prefix>_<body><check>`. The body is 256 random bits in base 62 (43 characters), the check is the
 * CRC-32 of `<prefix>_<body>` in base 62 (6 characters), so that a typo or another product's token costs no I/O.
 */

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const BODY = 43
const CHECK = 6
/** 2^256 - 1 in base 62. A larger body was not made from 32 bytes. In this alphabet, texts sort as their numbers do. */
const LARGEST_BODY = base62(2n ** 256n - 1n, BODY)

export const PREFIX_PATTERN = /^[a-z][a-z0-9]{1,15}$/

function base62(value: bigint, width: number): string {
  let digits = ''
  for (let rest = value; rest > 0n; rest /= 62n) digits = ALPHABET.charAt(Number(rest % 62n)) + digits
  return digits.padStart(width, '0')
}

function checkOf(text: string): string {
  let rest = crc32(text)
  let digits = ''
  for (let i = 0; i < CHECK; i++) {
    digits = ALPHABET.charAt(rest % 62) + digits
    rest = Math.floor(rest / 62)
  }
  return digits
}

/** @param bytes 32 bytes from a cryptographic source. */
export function formatToken(prefix: string, bytes: Uint8Array): string {
  if (bytes.length !== 32) throw new RangeError('a token is made of 32 bytes')
  const body = base62(BigInt(`0x${Buffer.from(bytes).toString('hex')}`), BODY)
  return `${prefix}_${body}${checkOf(`${prefix}_${body}`)}`
}

/** Has `text` as many characters as a token of this prefix? */
export const hasTokenLength = (prefix: string, text: string): boolean =>
  text.length === prefix.length + 1 + BODY + CHECK

/** True if `text` is a token of this prefix by shape, alphabet, range and check. Needs no I/O. */
export function isToken(prefix: string, text: string): boolean {
  const start = prefix.length + 1
  const end = start + BODY
  if (!hasTokenLength(prefix, text) || !text.startsWith(prefix) || text[start - 1] !== '_') return false
  for (let i = start; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (!((c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122))) return false
  }
  if (text.slice(start, end) > LARGEST_BODY) return false
  return text.slice(end) === checkOf(text.slice(0, end))
}

/** All tokens in a text, of whatever prefix, each once, in the order in which they come. */
export function tokensIn(text: string): string[] {
  const found = new Set<string>()
  for (const { index } of text.matchAll(/_(?=[0-9A-Za-z]{49})/g)) {
    const rest = text.slice(index, index + 1 + BODY + CHECK)
    const [before = ''] = /[a-z0-9]{0,16}$/.exec(text.slice(Math.max(0, index - 16), index)) ?? []
    // Any word may stand before a token, and only the check says where it begins.
    for (let start = 0; start < before.length - 1; start++) {
      const prefix = before.slice(start)
      if (PREFIX_PATTERN.test(prefix) && isToken(prefix, prefix + rest)) found.add(prefix + rest)
    }
  }
  return [...found]
}

/** The part of a token that may be shown: its prefix and the last four characters of its body. */
export const hintOf = (prefix: string, token: string): string =>
  `${prefix}_…${token.slice(prefix.length + 1 + BODY - 4, prefix.length + 1 + BODY)}`

/**
 * The key id of plain SHA-256 hashes, which come with tokens of an older system. No pepper may have this name, so that
 * an id always says which of the two a hash is.
 */
export const PLAIN_KEY_ID = 'sha256'

/** Shown for an imported token, of which nothing is known that could be shown. */
export const UNKNOWN_HINT = '…'

const LEGACY_SHAPE = /^[!-~]{16,255}$/

export const hasLegacyShape = (text: string): boolean => LEGACY_SHAPE.test(text)

/** Could `text` be a token of an older system? A token of our own format never is. */
export const isLegacyToken = (prefix: string, text: string): boolean =>
  hasLegacyShape(text) && !isToken(prefix, text)

/** The hash that an older system has stored of its token: plain SHA-256, in lower-case hex. */
export const hashLegacyToken = (token: string): string => hash('sha256', token, 'hex')

export interface Pepper {
  id: string
  key: Uint8Array
}

const MIN_PEPPER_BYTES = 32

/**
 * Parses `k2:<base64>,k1:<base64>`. The first one signs.
 * @throws Error saying what is wrong, without any of the text
 */
export function parsePeppers(text: string): Pepper[] {
  const peppers = text.split(',').map((entry) => {
    const [, id, base64] = /^\s*([\w-]{1,32}):([A-Za-z0-9+/_-]+={0,2})\s*$/.exec(entry) ?? []
    if (id === undefined || base64 === undefined)
      throw new Error('must be <id>:<base64>, separated by commas')
    if (id === PLAIN_KEY_ID) throw new Error(`must not name a key ${PLAIN_KEY_ID}: imported tokens have that`)
    const key = Buffer.from(base64, 'base64')
    if (key.length < MIN_PEPPER_BYTES) throw new Error(`must have keys of at least ${MIN_PEPPER_BYTES} bytes`)
    return { id, key }
  })
  if (new Set(peppers.map(({ id }) => id)).size < peppers.length) throw new Error('must not name a key twice')
  return peppers
}

/** The hash that is stored of a token: HMAC-SHA-256 under the pepper, in lower-case hex. */
export const hashToken = (pepper: Pepper, token: string): string =>
  createHmac('sha256', pepper.key).update(token).digest('hex')

/**
 * Tells whether two keys are the same, and nothing else of them: 32 hexadecimal digits of an HMAC over a fixed text.
 */
export const fingerprintOf = ({ key }: Pepper): string =>
  createHmac('sha256', key).update('tokenledger: which key is this?').digest('hex').slice(0, 32)

const MASK = '[credential]'
/** A token without its prefix. Looking for the prefix first would take sixteen times as long. */
const TOKEN_REST = new RegExp(`_[0-9A-Za-z]{${BODY + CHECK},}`, 'g')
/** The prefix of a token, wherever it begins: any word may stand before it. */
const PREFIX_AT_END = /[a-z][a-z0-9]{1,15}$/
const LONGEST_PREFIX = 16
/** What separates texts that may be parts of a JWT, with the dots between them. */
const NO_BASE64URL = /([^\w-]+)/
/** How a JSON object with at least one member begins in base64: `{"`, or white space after the brace. */
const OBJECT_START = /e[wy]/g

/**
 * Replaces everything that can be an API token or a JWT, in text that callers choose and we keep. A needless
 * percent-encoding is undone first, so that it hides nothing: it does not change the meaning (RFC 3986 §6.2.2.2).
 */
export function maskCredentials(text: string): string {
  const plain = withoutNeedlessEncoding(text)
  const masked = maskTokens(maskJwts(plain))
  return masked === plain ? text : masked
}

const withoutNeedlessEncoding = (text: string): string =>
  text.includes('%')
    ? text.replace(/%(2[DE]|3\d|[46][1-9A-F]|[57][0-9A]|5F|7E)/gi, (_, hex: string) =>
        String.fromCharCode(Number.parseInt(hex, 16)),
      )
    : text

/**
 * A JWT has three parts, of which the first two are JSON objects in base64url, which no ordinary word is. Any word may
 * stand before it. What is joined to it is removed as well, since it may be the rest of another JWT.
 */
function maskJwts(text: string): string {
  if (!text.includes('.e')) return text
  const words = text.split(NO_BASE64URL)
  for (let at = 0; at + 4 < words.length; at += 2) {
    const [head = '', dot, claims = '', secondDot] = words.slice(at, at + 4)
    if (dot !== '.' || secondDot !== '.' || !isObject(claims)) continue
    const start = objectAtEnd(head)
    if (start < 0) continue
    words[at] = head.slice(0, start) + MASK
    let end = at + 4
    while (words[end + 1] === '.') end += 2
    words.fill('', at + 1, end + 1)
  }
  return words.join('')
}

/** Where in a word an object in base64url begins that ends with the word; -1 if nowhere. */
function objectAtEnd(word: string): number {
  for (const { index } of word.matchAll(OBJECT_START)) if (isObject(word.slice(index))) return index
  return -1
}

/** Is it a JSON object in base64url? */
function isObject(base64: string): boolean {
  if (!beginsObject(base64)) return false
  const text = Buffer.from(base64, 'base64url').toString().trim()
  if (!text.endsWith('}')) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** The first bytes of a JSON object, as UTF-8 whose last character may be incomplete. */
const OBJECT_BEGINS = /^\{\s*(?:$|\}|"(?:[^\p{Cc}\ufffd]|\s)*\ufffd?$)/u
/** How many base64url digits are decoded first: enough to see whether they hold text at all. */
const FIRST_DIGITS = 16

/** Does a JSON object begin here? The base64url may have been cut off. */
const beginsObject = (base64: string): boolean =>
  base64.length < 2 || OBJECT_BEGINS.test(Buffer.from(base64.slice(0, FIRST_DIGITS), 'base64url').toString())

/** A token may begin within the possible end of another one. */
function maskTokens(text: string): string {
  let [masked, end] = ['', 0]
  for (const { 0: rest, index } of text.matchAll(TOKEN_REST)) {
    const prefix = PREFIX_AT_END.exec(text.slice(Math.max(0, index - LONGEST_PREFIX), index))
    if (!prefix) continue
    masked += text.slice(end, Math.max(end, index - prefix[0].length)) + MASK
    end = index + rest.length
  }
  return masked + text.slice(end)
}

/** How many characters of a caller's text are kept, and how many more are read: the longest token. */
const KEPT = 256
const BEYOND = 128
export const LOOKED_AT = KEPT + BEYOND

/** Perhaps the beginning of a token whose end was cut off. Its prefix may be hidden by a mask. */
const CUT_OFF = /_(?<=(?:[a-z][a-z0-9]{1,15}|\])_)[0-9A-Za-z]*$/
/** Words at the end that may be parts of a JWT. */
const LAST_WORDS = /[\w-]*(?:\.[\w-]*){0,2}$/
/** The end of a text that was cut within a percent-encoding. */
const CUT_ENCODING = /%[\da-f]?$/i

/**
 * A caller's text in the form in which it may be kept: short, and without a credential, or a piece of one that a cut
 * has left. Masking makes a text shorter, so what stood behind the limit may come to stand before it.
 * @param most how many characters are kept
 */
export function keptText(text: string, most = KEPT): string {
  const looked = cutText(text, most + BEYOND)
  // A text of this length may have been cut before, and the cut may have removed half a character more.
  const isCut = looked.length >= most + BEYOND - 1
  return cutText(isCut ? withoutPieces(looked) : maskCredentials(looked), most)
}

/** The masked text, without anything at its end that may be the beginning of a credential. */
function withoutPieces(cut: string): string {
  const masked = maskCredentials(withoutNeedlessEncoding(cut.replace(CUT_ENCODING, ''))).replace(CUT_OFF, '')
  const words = LAST_WORDS.exec(masked)?.[0] ?? ''
  return masked.slice(0, masked.length - words.length + beginOfJwt(words))
}

/** Where in some words, with dots between them, a JWT may begin that was cut off. */
function beginOfJwt(words: string): number {
  for (const { index } of words.matchAll(/e(?:[wy]|$)/g)) {
    const [head = '', claims] = words.slice(index).split('.')
    const isBegin = claims === undefined ? beginsObject(head) : isObject(head) && beginsObject(claims)
    if (isBegin || (claims !== undefined && isObject(head) && isObject(claims))) return index
  }
  return words.length
}

export const holdsCredential = (text: string): boolean => maskCredentials(text) !== text

/**
 * As `holdsCredential`, for ids of other systems. They may look like a token, as hashes behind a prefix do, so only what
 * passes a token's check is one.
 */
export function idHoldsCredential(id: string): boolean {
  const plain = withoutNeedlessEncoding(id)
  return tokensIn(plain).length > 0 || maskJwts(plain) !== plain
}
