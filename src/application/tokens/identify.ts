import type { TokenDocument } from '../../../projections/tokens.ts'
import { hashLegacyToken, hashToken, type Pepper, PLAIN_KEY_ID } from '../../domain/credential.ts'
import { secretsOf } from '../eventLog/tokenStream.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { bySecret } from '../readModel/secrets.ts'

/**
 * Finds the tokens that secrets belong to, also revoked, expired and imported ones, and those with an earlier prefix.
 * @returns for each secret its token, or null
 */
export type Identify = (secrets: readonly string[]) => Promise<(TokenDocument | null)[]>

/** How many secrets one query looks for. */
const AT_ONCE = 50

export function createIdentify(
  readModel: Pick<DocumentReader, 'find'>,
  peppers: readonly Pepper[],
): Identify {
  /** The hashes that a secret may be stored by, each with the id of its key. */
  const hashesOf = (secret: string): [hash: string, keyId: string][] => [
    ...peppers.map((pepper): [string, string] => [hashToken(pepper, secret), pepper.id]),
    [hashLegacyToken(secret), PLAIN_KEY_ID],
  ]

  async function some(secrets: readonly string[]): Promise<(TokenDocument | null)[]> {
    const hashed = secrets.map(hashesOf)
    const value = hashed.flat().map(([hash]) => hash)
    const found = await readModel.find('tokens', {
      where: bySecret(value),
      order: 'any',
      limit: value.length,
    })
    const byHash = new Map<string, { keyId: string; token: TokenDocument }>()
    for (const token of found as unknown as TokenDocument[]) {
      const { secret, rotation } = secretsOf(token)
      byHash.set(secret.hash, { keyId: secret.hashKeyId, token })
      if (rotation) byHash.set(rotation.secret.hash, { keyId: rotation.secret.hashKeyId, token })
    }
    // A keyed hash never matches a plain one, or the other way round.
    const tokenOf = ([hash, keyId]: [string, string]): TokenDocument | null => {
      const { token, ...known } = byHash.get(hash) ?? { token: null, keyId: '' }
      return (known.keyId === PLAIN_KEY_ID) === (keyId === PLAIN_KEY_ID) ? token : null
    }
    return hashed.map((hashes) => hashes.map(tokenOf).find((token) => token !== null) ?? null)
  }

  return async (secrets) => {
    const tokens: (TokenDocument | null)[] = []
    for (let from = 0; from < secrets.length; from += AT_ONCE)
      tokens.push(...(await some(secrets.slice(from, from + AT_ONCE))))
    return tokens
  }
}
