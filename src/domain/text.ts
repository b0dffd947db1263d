/** The first characters of a text, in UTF-16 units, without half of one at the end. */
export function cutText(text: string, length: number): string {
  if (text.length <= length) return text
  const last = text.charCodeAt(length - 1)
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? length - 1 : length)
}

const BEYOND_LATIN1 = /[^\0-\xff]/

/**
 * The same text in memory of its own, for whoever keeps it: a slice keeps all of the text that it was cut from, and a
 * text put together keeps its parts.
 */
export function ownCopy(text: string): string {
  const encoding = BEYOND_LATIN1.test(text) ? 'utf16le' : 'latin1'
  return Buffer.from(text, encoding).toString(encoding)
}

/** Bytes that an own copy takes. */
export const bytesOf = (text: string): number => 24 + (BEYOND_LATIN1.test(text) ? 2 : 1) * text.length
