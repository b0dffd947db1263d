import { ageOf, type Instant, now as readClocks } from '../../application/ports/clock.ts'
import { KeysUnavailableError } from '../../application/ports/errors.ts'
import type { Logger } from '../../application/ports/telemetry.ts'

/** Keys that somebody else publishes. */
export interface RemoteKeys<Asked, Key> {
  /**
   * @returns undefined if there is no such key; a promise only if they are asked for
   * @throws KeysUnavailableError if nobody can say
   */
  find(asked: Asked): Key | undefined | Promise<Key | undefined>
  /** Asks for them now. It never throws: what is wrong goes to the log. */
  ask(): Promise<void>
  /** The age of the keys in seconds; infinite without any. */
  age(): number
}

/** All in milliseconds. */
interface Times {
  /** How long keys are used before they are asked for again. */
  kept: number
  /** How long the last good keys are used while their publisher does not answer. */
  lastGood: number
  /** The shortest time between two questions, for all together. */
  pause: number
}

interface Dependencies<Asked, Key> {
  /** Asks the publisher. @returns a function that finds a key among those that there are */
  load: () => Promise<(asked: Asked) => Key | undefined>
  /** Whose keys they are, for the log. */
  of: string
  times: Times
  log: Pick<Logger, 'info' | 'warn'>
  now?: () => Instant
}

/** Without any keys they are asked for sooner, first after this time, then after twice as long each time. */
const FIRST_PAUSE_MS = 1_000

/**
 * Keys that are asked for when they are needed, and kept. Who needs a key that is not known waits for them, and so does
 * everybody once they are old: a key that has been withdrawn must not be good because nobody has asked for long.
 */
export function createRemoteKeys<Asked, Key>(deps: Dependencies<Asked, Key>): RemoteKeys<Asked, Key> {
  const { load, of, times, log, now = readClocks } = deps
  let keys: { find: (asked: Asked) => Key | undefined; at: Instant } | null = null
  let asked: Instant | null = null
  let asking: Promise<void> | null = null
  let failures = 0

  const age = (): number => (keys ? ageOf(keys.at, now()) : Number.POSITIVE_INFINITY)

  function known(what: Asked): Key | undefined {
    if (age() >= times.lastGood) keys = null
    return keys?.find(what)
  }

  /** While their publisher is away, only who asks waits for it. Others go on with the last good keys. */
  const isWaitedFor = (): boolean => mayAsk() || (asking !== null && failures === 0)

  function mayAsk(): boolean {
    const pause = keys ? times.pause : Math.min(times.pause, FIRST_PAUSE_MS * 2 ** (failures - 1))
    return asked === null || ageOf(asked, now()) >= pause
  }

  async function loadAt(at: Instant): Promise<void> {
    try {
      keys = { find: await load(), at }
      if (failures > 0) log.info({ of }, 'keys can be read again')
      failures = 0
    } catch (err) {
      failures++
      log.warn({ err, of }, 'keys cannot be read')
    }
  }

  function ask(): Promise<void> {
    if (asking) return asking
    asked = now()
    asking = loadAt(asked).finally(() => {
      asking = null
    })
    return asking
  }

  async function findAnew(what: Asked): Promise<Key | undefined> {
    if (asking || mayAsk()) await ask()
    const found = known(what)
    // Nobody can say that there is no such key.
    if (found === undefined && failures > 0)
      throw new KeysUnavailableError(`the keys of ${of} cannot be read`)
    return found
  }

  return {
    find(what) {
      const found = known(what)
      const isGood = found !== undefined && (age() < times.kept || !isWaitedFor())
      return isGood ? found : findAnew(what)
    },
    ask,
    age: () => age() / 1000,
  }
}
