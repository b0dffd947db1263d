import { readFileSync } from 'node:fs'
import { repeatedMember } from '../domain/json.ts'

/** @throws Error that says why the file cannot be read, without its name */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new Error(`names a file that cannot be read (${code})`, { cause: error })
  }
}

/**
 * Parses a JSON object whose members are texts.
 * @param what says what is in it, like `kid to key`
 * @throws Error without anything of the text
 */
export function textsByName(text: string, what: string): Record<string, string> {
  const message = `must name a file with a JSON object of ${what}`
  let found: unknown
  try {
    found = JSON.parse(text)
  } catch {
    throw new Error(message)
  }
  if (found === null || typeof found !== 'object' || Array.isArray(found)) throw new Error(message)
  if (Object.values(found).some((value) => typeof value !== 'string')) throw new Error(message)
  // Nobody can know which of the two is meant.
  if (repeatedMember(text) !== null) throw new Error(`${message}, with each name once`)
  return found as Record<string, string>
}
