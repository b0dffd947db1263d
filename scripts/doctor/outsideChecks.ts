import { loadIssuerKeys } from '../../src/adapters/jwt/issuerKeys.ts'
import { isIssuer } from '../../src/adapters/jwt/verifier.ts'
import { loadLeakKeys } from '../../src/adapters/network/leakKeys.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { readModelFile, sqlitePath } from '../../src/stores/open.ts'
import { readOutbox } from '../cli/outbox.ts'
import { plural } from '../cli/output.ts'
import { type Check, fail, ok, warn } from './check.ts'
import { isThere } from './storeChecks.ts'

/** The checks of doctor that are about other servers: whose keys are needed, and who is told of events. */

/** Null where the keys of JWTs are in the settings. */
export async function checkIssuer({ jwtKeys }: Settings): Promise<Check | null> {
  if (!jwtKeys || !isIssuer(jwtKeys)) return null
  const remedy =
    'Until its keys can be had, JWTs are 503: see JWT_ISSUER and JWT_JWKS_URL, and the issuer itself.'
  return checkPublisher('keys of the issuer', () => loadIssuerKeys(jwtKeys), remedy)
}

/** Null where nobody reports leaks, and where the keys are in a file. */
export async function checkLeakKeys({ leakAction, leakKeys, leakKeysUrl }: Settings): Promise<Check | null> {
  if (leakAction === null || leakKeys !== null) return null
  const remedy = 'Until its keys can be had, reports of leaks are 503: see LEAK_KEYS_URL.'
  return checkPublisher('keys of leak reports', () => loadLeakKeys(leakKeysUrl), remedy)
}

async function checkPublisher(name: string, load: () => Promise<unknown>, remedy: string): Promise<Check> {
  try {
    await load()
    return ok(name, 'can be had')
  } catch (error) {
    return fail(name, `no keys: ${(error as Error).message}`, remedy)
  }
}

/** What waits to be sent? Null without webhooks, or without stores, which other checks report. */
export async function checkWebhooks(settings: Settings): Promise<Check | null> {
  if (settings.webhookUrl === null) return null
  if (!isThere(sqlitePath(settings.eventStoreUrl)) || !isThere(readModelFile(settings.readModelUrl)))
    return null
  return assessWebhooks(await readOutbox(settings, Date.now))
}

/** @param outbox null if the service was never started with webhooks */
export function assessWebhooks(outbox: Awaited<ReturnType<typeof readOutbox>>): Check {
  const name = 'webhooks'
  if (outbox === null) return ok(name, 'the service was not started with them yet')
  const { waiting, oldest, stopped, lastFailure, givenUp, aside } = outbox
  const facts = {
    waiting,
    oldest_at: oldest,
    stopped_at: stopped?.at ?? null,
    last_failure: lastFailure,
    given_up: givenUp,
  }
  const queue =
    oldest === null ? 'nothing waits' : `${plural(waiting, 'event')} waiting, the oldest since ${oldest}`
  if (stopped) {
    const remedy = 'Mend the receiver, then: tokenledger webhooks resume; or change WEBHOOK_URL.'
    return fail(name, `stopped at ${stopped.at}, as the receiver answered 410; ${queue}`, remedy, facts)
  }
  const failing = aside.filter(({ attempts }) => attempts > 0)
  if (failing.length === 0) return ok(name, queue, facts)
  const why = `${plural(failing.length, 'token')} put aside, last failure: ${lastFailure?.reason ?? 'unknown'}`
  return warn(name, `${queue}; ${why}`, 'Look at the receiver; see: tokenledger webhooks', facts)
}
