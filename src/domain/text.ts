/** The first characters of a text. The length is in UTF-16 units, and no half of a character is left at the end. */
export function cutText(text: string, length: number): string {
  if (text.length <= length) return text
  const last = text.charCodeAt(length - 1)
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? length - 1 : length)
}

const BEYOND_LATIN1 = /[^\0-\xff]/

/**
 * The same text in memory of its own, for code that keeps it: a slice keeps all of the text that it was cut from, and a
 * text that was put together keeps its parts.
 */
export function ownCopy(text: string): string {
  const encoding = BEYOND_LATIN1.test(text) ? 'utf16le' : 'latin1'
  return Buffer.from(text, encoding).toString(encoding)
}

/** The bytes that an own copy of a text takes. */
export const bytesOf = (text: string): number => 24 + (BEYOND_LATIN1.test(text) ? 2 : 1) * text.length
