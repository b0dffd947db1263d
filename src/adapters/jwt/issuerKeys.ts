import { ageOf, type Instant, now as readClocks } from '../../application/ports/clock.ts'
import { StoreUnavailableError } from '../../application/ports/errors.ts'
import type { Logger } from '../../application/ports/telemetry.ts'
import { isSecureUrl } from '../../domain/secureUrl.ts'
import { fetchJson } from '../network/fetchJson.ts'
import { type FindKey, type KeySet, readKeySet } from './keySet.ts'

/** An issuer that publishes its keys: at `jwksUrl`, or where its discovery document says. */
export interface Issuer {
  issuer: string
  jwksUrl?: string | undefined
}

export interface IssuerKeys {
  find: FindKey
  /** Asks the issuer now. It never throws: what is wrong goes to the log. */
  ask(): Promise<void>
  /** The age of the keys in seconds; infinite without any. */
  age(): number
}

/** How long keys are used before the issuer is asked again, which no request waits for. */
const KEPT_MS = 10 * 60_000
/** How long the last good keys are used while the issuer does not answer. */
const LAST_GOOD_MS = 24 * 3_600_000
/** The shortest time between two questions, for all requests together. */
const PAUSE_MS = 30_000
/** Without any keys the issuer is asked sooner, first after this time, then after twice as long each time. */
const FIRST_PAUSE_MS = 1_000

interface Dependencies {
  log: Pick<Logger, 'info' | 'warn'>
  now?: () => Instant
}

/**
 * The keys of an issuer, asked for when they are needed and kept. A request waits for the issuer only if its JWT names
 * a key that is not known.
 */
export function createIssuerKeys(issuer: Issuer, { log, now = readClocks }: Dependencies): IssuerKeys {
  let keys: { set: KeySet; at: Instant } | null = null
  let asked: Instant | null = null
  let asking: Promise<void> | null = null
  let failures = 0
  let keysUrl = issuer.jwksUrl

  const age = (): number => (keys ? ageOf(keys.at, now()) : Number.POSITIVE_INFINITY)

  function known(header: Parameters<KeySet>[0]): ReturnType<KeySet> {
    if (age() >= LAST_GOOD_MS) keys = null
    return keys?.set(header)
  }

  function mayAsk(): boolean {
    const pause = keys ? PAUSE_MS : Math.min(PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1))
    return asked === null || ageOf(asked, now()) >= pause
  }

  async function load(at: Instant): Promise<void> {
    try {
      keysUrl ??= await discover(issuer.issuer)
      keys = { set: readKeySet(await fetchJson(keysUrl)), at }
      if (failures > 0) log.info({ issuer: issuer.issuer }, 'the keys of the issuer can be read again')
      failures = 0
    } catch (err) {
      failures++
      // The keys may have moved, and then the issuer says so.
      keysUrl = issuer.jwksUrl
      log.warn({ err, issuer: issuer.issuer }, 'the keys of the issuer cannot be read')
    }
  }

  function ask(): Promise<void> {
    if (asking) return asking
    asked = now()
    asking = load(asked).finally(() => {
      asking = null
    })
    return asking
  }

  async function findAnew(header: Parameters<KeySet>[0]): Promise<ReturnType<KeySet>> {
    if (asking || mayAsk()) await ask()
    const found = known(header)
    // Nobody can say that there is no such key.
    if (!found && failures > 0) throw new StoreUnavailableError('the keys of the issuer cannot be read')
    return found
  }

  return {
    find(header) {
      // A JWT that no published key can have signed is no reason to ask.
      if (header.alg !== 'RS256' && header.alg !== 'ES256') return undefined
      const found = known(header)
      if (!found) return findAnew(header)
      if (age() >= KEPT_MS && mayAsk()) void ask()
      return found
    },
    ask,
    age: () => age() / 1000,
  }
}

/**
 * OpenID Connect Discovery 1.0 §4: the document that an issuer has about itself.
 * @returns where its keys are
 */
async function discover(issuer: string): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const { issuer: named, jwks_uri: keysUrl } = Object(await fetchJson(url)) as Record<string, unknown>
  if (named !== issuer) throw new Error(`${url} is about another issuer than JWT_ISSUER`)
  if (typeof keysUrl !== 'string' || !isSecureUrl(keysUrl))
    throw new Error(`${url} names no https URL as jwks_uri`)
  return keysUrl
}
