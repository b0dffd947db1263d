import { tokensIn } from '../../src/domain/credential.ts'

/** A secret that somebody has found, and the line of the file in which it stands first, counted from 1. */
export interface FoundSecret {
  secret: string
  line: number
}

/** A longer word is no secret. */
const LONGEST = 512

/**
 * The secrets in a file. If each line has one word, these are the secrets, whatever their form. Any other text is
 * searched for tokens by their format.
 */
export function secretsIn(text: string): FoundSecret[] {
  const lines = text.split(/\r?\n/).map((line) => line.trim())
  const isList = lines.every((line) => !/\s/.test(line) && line.length <= LONGEST)
  const found = new Map<string, number>()
  for (const [i, line] of lines.entries()) {
    const secrets = isList ? [line] : tokensIn(line)
    for (const secret of secrets) if (secret !== '' && !found.has(secret)) found.set(secret, i + 1)
  }
  return [...found].map(([secret, line]) => ({ secret, line }))
}

/** How many secrets one request names, and how many bytes they have together. */
const MOST = 1_000
const MOST_BYTES = 200 * 1024

/** Splits them into as many as the service takes at once. */
export function* batchesOf(secrets: readonly FoundSecret[]): Generator<FoundSecret[]> {
  let [batch, bytes]: [FoundSecret[], number] = [[], 0]
  for (const found of secrets) {
    const size = Buffer.byteLength(JSON.stringify(found.secret)) + 1
    if (batch.length === MOST || bytes + size > MOST_BYTES) {
      yield batch
      ;[batch, bytes] = [[], 0]
    }
    batch.push(found)
    bytes += size
  }
  if (batch.length > 0) yield batch
}
