import { formatToken, hashToken, hintOf, type Pepper } from '../../domain/credential.ts'
import type { Secret } from '../../domain/token.ts'

/** What is needed to make secrets. */
export interface SecretMaker {
  randomBytes: (size: number) => Uint8Array
  prefix: string
  /** The key that signs. */
  pepper: Pepper
  /** Called before a hash is stored that this key has made. @throws if it is not the right one */
  beforeHash?: () => Promise<void>
}

/** What is kept of a secret. */
export type StoredSecret = Omit<Secret, 'revision'>

/** @returns a new secret, which its holder gets once, and what is kept of it */
export async function newSecret({ randomBytes, prefix, pepper, beforeHash }: SecretMaker): Promise<{
  secret: string
  stored: StoredSecret
}> {
  await beforeHash?.()
  const secret = formatToken(prefix, randomBytes(32))
  const stored = { hash: hashToken(pepper, secret), hashKeyId: pepper.id, hint: hintOf(prefix, secret) }
  return { secret, stored }
}
