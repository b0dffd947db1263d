import { readLeakKeys } from '../adapters/network/leakKeys.ts'
import { repeatedMember } from '../domain/json.ts'
import { readText } from './jsonFile.ts'

/**
 * Reads a file with the keys of a reporter of leaks: the document that GitHub publishes.
 * @throws Error without anything of the file
 */
export function readLeakKeysFile(path: string): unknown {
  const text = readText(path)
  const message = 'must name a file with a JSON object of public_keys, as GitHub publishes it'
  let document: unknown
  try {
    document = JSON.parse(text)
    readLeakKeys(document)
  } catch {
    throw new Error(message)
  }
  // Nobody can know which of the two is meant.
  if (repeatedMember(text) !== null) throw new Error(`${message}, with each member once`)
  return document
}
