/**
 * One that is misspelt would be left out without a word.
 * @param call what was called with the options, for the message
 * @throws TypeError naming an option that is none
 */
export function assertKnown(call: string, options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw new TypeError(
      `${call}({ ${unknown.slice(0, 100)} }): there is no such option, but ${known.join(', ')}`,
    )
}
