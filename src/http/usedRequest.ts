import { LOOKED_AT } from '../domain/credential.ts'

/** The method and path under which a use is counted, for a request that is known only from what others say about it. */

const METHOD = /^[A-Z]{1,20}$/
const NOT_VISIBLE = /[^\x21-\x7e]/g

export const isMethod = (text: string): boolean => METHOD.test(text)

/** A path without its query string, cut, and in characters that every log and every table can show. */
export const usedPath = (text: string): string =>
  (text.slice(0, LOOKED_AT).split(/[?#]/, 1)[0] as string).replace(NOT_VISIBLE, '?')
