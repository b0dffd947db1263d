import type { Revocations } from '../application/tokens/revocations.ts'

/** What became of tokens that an operator named, without any secret of them. */
export const presentRevocations = ({ data, remaining }: Revocations) => ({
  data: data.map(({ token, status, why }, index) => ({
    index,
    id: token?.id ?? null,
    account_id: token?.accountId ?? null,
    hint: token?.hint ?? null,
    found: token !== null,
    status,
    last_accessed: token?.lastAccessed ?? null,
    revoked: why === null,
    why,
  })),
  remaining,
})
