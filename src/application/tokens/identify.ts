import type { RotatedSecretDocument } from '../../../projections/rotatedSecrets.ts'
import type { TokenDocument } from '../../../projections/tokens.ts'
import { hashLegacyToken, hashToken, type Pepper } from '../../domain/credential.ts'
import { type Clock, iso } from '../ports/clock.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { findById } from '../readModel/pages.ts'
import { bySecret } from '../readModel/secrets.ts'

/** Whose secret it is. */
export interface Identified {
  token: TokenDocument
  /** Of the secret. */
  hint: string
  /** Was the secret replaced by another one, so that it is accepted no longer, whatever the token is? */
  isDead: boolean
}

/**
 * Finds the tokens that secrets belong to, or ever belonged to: also revoked, expired and imported ones, and those with
 * an earlier prefix.
 * @returns for each secret its token, or null
 */
export type Identify = (secrets: readonly string[]) => Promise<(Identified | null)[]>

/** How many secrets are looked for at once. */
const AT_ONCE = 50

interface Dependencies {
  readModel: Pick<DocumentReader, 'find'>
  peppers: readonly Pepper[]
  clock: Clock
}

export function createIdentify({ readModel, peppers, clock }: Dependencies): Identify {
  /** The hashes that a secret may be stored by. Nobody can find a secret whose hash of one kind is another's. */
  const hashesOf = (secret: string): string[] => [
    ...peppers.map((pepper) => hashToken(pepper, secret)),
    hashLegacyToken(secret),
  ]

  async function some(secrets: readonly string[]): Promise<(Identified | null)[]> {
    const hashed = secrets.map(hashesOf)
    const hashes = hashed.flat()
    const query = { where: bySecret(hashes), order: 'any', limit: 2 * hashes.length } as const
    const found = (await readModel.find('tokens', query)) as unknown[] as TokenDocument[]
    const byHash = new Map<unknown, Identified>()
    for (const token of found) {
      for (const [hash, identified] of secretsOf(token, iso(clock()))) byHash.set(hash, identified)
    }
    const missing = hashes.filter((hash) => !byHash.has(hash))
    for (const [hash, identified] of await replaced(missing)) byHash.set(hash, identified)
    return hashed.map((own) => own.flatMap((hash) => byHash.get(hash) ?? [])[0] ?? null)
  }

  /** Secrets that rotations have replaced. */
  async function replaced(hashes: readonly string[]): Promise<[hash: string, Identified][]> {
    const dead = await findById<RotatedSecretDocument>(readModel, 'rotatedSecrets', hashes)
    const ids = [...new Set(dead.map(({ tokenId }) => tokenId))]
    const tokens = await findById<TokenDocument>(readModel, 'tokens', ids)
    const byId = new Map(tokens.map((token) => [token.id, token]))
    return dead.flatMap(({ id, tokenId, hint }): [string, Identified][] => {
      const token = byId.get(tokenId)
      return token ? [[id, { token, hint, isDead: true }]] : []
    })
  }

  return async (secrets) => {
    const found: (Identified | null)[] = []
    for (let from = 0; from < secrets.length; from += AT_ONCE)
      found.push(...(await some(secrets.slice(from, from + AT_ONCE))))
    return found
  }
}

/** The secrets in the document of a token, by their hashes. The older one of two dies when its time has come. */
function secretsOf(token: TokenDocument, now: string): [hash: string, Identified][] {
  const { retiresAt, newerHash, rotation, secret } = token
  const isDead = retiresAt !== undefined && retiresAt !== null && retiresAt <= now
  const older: [string, Identified] = [token.hash, { token, hint: secret?.hint ?? token.hint, isDead }]
  if (!newerHash || !rotation) return [older]
  return [older, [newerHash, { token, hint: rotation.hint, isDead: false }]]
}
