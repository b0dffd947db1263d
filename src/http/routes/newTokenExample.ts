import { DAY_MS } from '../../domain/time.ts'

const FAR_DAYS = 365

interface Bounds {
  scopes: readonly { name: string }[] | null
  tokenMaxLifetimeDays: number | null
}

/**
 * A body that is accepted as it stands, by these settings. Viewers of the description fill it in, so that a reader only
 * has to send it.
 * @param now milliseconds since 1970
 */
export function newTokenExample({ scopes, tokenMaxLifetimeDays }: Bounds, now: number): object {
  const days = Math.min(FAR_DAYS, tokenMaxLifetimeDays ?? FAR_DAYS)
  const midnight = Math.floor(now / DAY_MS + days) * DAY_MS
  return {
    name: 'CI deploy',
    description: 'Deploys the shop from its CI.',
    scopes: scopes ? scopes.slice(0, 1).map(({ name }) => name) : ['orders:read'],
    expires_at: new Date(midnight).toISOString(),
  }
}
