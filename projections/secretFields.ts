import { type ExistingToken, ownSecret } from '../src/domain/token.ts'
import type { Value } from './projection.ts'

/** All members about the secrets, since one that is left out would stay as it was. */
export function secretFields({
  secret,
  rotation,
}: Pick<ExistingToken, 'secret' | 'rotation'>): Record<string, Value> {
  const older = { hash: secret.hash, hashKeyId: secret.hashKeyId }
  const known = { hint: ownSecret({ secret, rotation }).hint }
  const named = { secret: { revision: secret.revision, hint: secret.hint } }
  if (!rotation) return { ...older, ...named, ...known, ...noRotation }
  const { secret: newer, activatedAt, retiresAt, isUsed, ...how } = rotation
  return {
    ...older,
    ...named,
    ...known,
    newerHash: newer.hash,
    newerHashKeyId: newer.hashKeyId,
    rotation: { revision: newer.revision, hint: newer.hint, ...how },
    activatedAt,
    retiresAt,
    newerIsUsed: isUsed,
  }
}

const noRotation = {
  newerHash: null,
  newerHashKeyId: null,
  rotation: null,
  activatedAt: null,
  retiresAt: null,
  newerIsUsed: false,
}
