import { readLeakKeys } from '../adapters/network/leakKeys.ts'
import { readText } from './jsonFile.ts'

/**
 * Reads a file with the keys of a reporter of leaks: the document that GitHub publishes.
 * @throws Error without anything of the file
 */
export function readLeakKeysFile(path: string): unknown {
  const text = readText(path)
  try {
    const document: unknown = JSON.parse(text)
    readLeakKeys(document)
    return document
  } catch {
    throw new Error('must name a file with a JSON object of public_keys, as GitHub publishes it')
  }
}
