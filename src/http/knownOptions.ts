/**
 * One that is misspelt would be left out without a word.
 * @param call what was called with the options, for the message
 * @throws TypeError for what is no object, and naming an option that is none
 */
export function assertKnown(call: string, options: unknown, known: readonly string[]): void {
  if (options === null || typeof options !== 'object' || Array.isArray(options))
    throw new TypeError(`${call}(…) takes an object of options: ${known.join(', ')}`)
  const unknown = Object.keys(options).find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw new TypeError(
      `${call}({ ${unknown.slice(0, 100)} }): there is no such option, but ${known.join(', ')}`,
    )
}

/**
 * Reads an option that may be left out. A text such as `'false'` would count as true.
 * @throws TypeError naming the option if it is neither
 */
export function trueOrFalse(call: string, name: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback
  if (typeof value === 'boolean') return value
  throw new TypeError(`${call}({ ${name} }): ${name} must be true or false`)
}
