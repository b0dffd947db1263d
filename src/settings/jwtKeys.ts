import { readFileSync } from 'node:fs'
import { createJwtVerifier, type JwtKeys } from '../adapters/jwt/verifier.ts'

export const JWT_SOURCES = ['JWT_SECRET', 'JWT_PUBLIC_KEY_FILE', 'JWT_KEYS_FILE'] as const

/** The keys that the environment names; null if it names none. More than one source of keys is a problem. */
export function readJwtKeys(env: Record<string, string | undefined>, problems: string[]): JwtKeys | null {
  const given = JWT_SOURCES.filter((name) => env[name])
  if (given.length > 1) problems.push(`${given.join(' and ')} exclude each other`)
  const [name] = given
  if (name === undefined) return null
  const text = env[name] as string
  try {
    const keys = name === 'JWT_SECRET' ? { secret: text } : readKeyFile(name, text)
    createJwtVerifier(keys)
    return keys
  } catch (error) {
    problems.push(`${name} ${(error as Error).message}`)
    return null
  }
}

function readKeyFile(name: 'JWT_PUBLIC_KEY_FILE' | 'JWT_KEYS_FILE', path: string): JwtKeys {
  const text = readText(path)
  return name === 'JWT_PUBLIC_KEY_FILE' ? { publicKey: text } : { keys: parseKeys(text) }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new Error(`names a file that cannot be read (${code})`, { cause: error })
  }
}

/** `{ "<kid>": "<PEM or secret>" }` */
function parseKeys(text: string): Record<string, string> {
  const message = 'must name a file with a JSON object of kid to key'
  let keys: unknown
  try {
    keys = JSON.parse(text)
  } catch {
    throw new Error(message)
  }
  if (keys === null || typeof keys !== 'object' || Array.isArray(keys)) throw new Error(message)
  if (Object.values(keys).some((key) => typeof key !== 'string')) throw new Error(message)
  return keys as Record<string, string>
}
