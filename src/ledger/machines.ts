import { createLeakKeys, readLeakKeys } from '../adapters/network/leakKeys.ts'
import type { Logger } from '../application/ports/telemetry.ts'
import type { Route } from '../http/route.ts'
import { leakRoutes } from '../http/routes/leaks.ts'
import { oauthRoutes } from '../http/routes/oauth.ts'
import type { Parts, UseCases } from './parts.ts'
import type { requestsOf } from './requests.ts'

/** The routes for other programs. Each table is empty unless the settings say that there are such programs. */
export function machineRoutes(
  { settings, clock, metrics }: Parts,
  { identify, manage, takeLeaks }: UseCases,
  { addressOf, authenticate, failures }: ReturnType<typeof requestsOf>,
  log: Logger,
): { oauth: Route[]; leaks: Route[] } {
  const { oauthClients: clients, leakAction, leakKeys, leakKeysUrl } = settings
  const common = { failures, addressOf, telemetry: { authenticated: metrics.authenticated, log } }
  const findKey = () =>
    leakKeys === null ? createLeakKeys(leakKeysUrl, { log: metrics.log }).find : readLeakKeys(leakKeys)
  return {
    oauth: clients
      ? oauthRoutes({ ...settings, ...common, clients, authenticate, identify, manage, clock })
      : [],
    leaks: leakAction ? leakRoutes({ ...common, takeLeaks, findKey: findKey() }) : [],
  }
}
