import type { Logger } from '../ports/telemetry.ts'
import { StoreMisconfiguredError } from '../ports/errors.ts'

/** For so long a fault is believed in, in milliseconds, if the same call is not made again. */
const REMEMBERED_MS = 30_000

/** Names of the members of a store that ask it something. */
type Calls<S> = { [K in keyof S]: S[K] extends (...args: never[]) => Promise<unknown> ? K : never }[keyof S]

export interface KnowsFaults {
  /** What a person has to mend before the store can be used again: one sentence. Null while nothing is known. */
  fault(): string | null
}

/**
 * Adds `fault` to a store, by what becomes of these calls. A fault is logged once, and so is its end. It belongs to one
 * kind of call, since a user may be allowed to read and not to write.
 */
export function knowingItsFaults<S extends object>(
  store: S,
  calls: readonly Calls<S>[],
  log: Logger,
): S & KnowsFaults {
  const faults = new Map<Calls<S>, { reason: string; at: number }>()
  const announced = new Set<string>()

  function forgetOld(): void {
    for (const [name, { at }] of faults) if (performance.now() - at > REMEMBERED_MS) faults.delete(name)
  }

  function note(name: Calls<S>, { message, reason }: StoreMisconfiguredError): void {
    faults.set(name, { reason, at: performance.now() })
    if (announced.has(reason)) return
    announced.add(reason)
    log.error({ reason: message }, 'a store cannot be used until somebody mends it')
  }

  function succeeded(name: Calls<S>): void {
    faults.delete(name)
    forgetOld()
    if (faults.size > 0 || announced.size === 0) return
    announced.clear()
    log.info({}, 'the store can be used again')
  }

  const watched = calls.map((name) => {
    const call = store[name] as (...args: unknown[]) => Promise<unknown>
    return [
      name,
      async (...args: unknown[]) => {
        try {
          const answer = await call(...args)
          succeeded(name)
          return answer
        } catch (error) {
          const fault = misconfigurationIn(error)
          if (fault) note(name, fault)
          throw error
        }
      },
    ]
  })

  return {
    ...store,
    ...(Object.fromEntries(watched) as Partial<S>),
    fault() {
      forgetOld()
      const [first] = faults.values()
      return first?.reason ?? null
    },
  }
}

/**
 * A log without the lines of those who only try again and again: `knowingItsFaults` has said what is wrong. Lines about
 * a request stay.
 */
export function withoutRepeatedFaults(log: Logger): Logger {
  const unlessRepeated =
    (write: (fields: object, message: string) => void) =>
    (fields: object, message: string): void => {
      const { err, requestId } = fields as { err?: unknown; requestId?: unknown }
      if (requestId === undefined && misconfigurationIn(err)) return
      write(fields, message)
    }
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn: unlessRepeated((fields, message) => log.warn(fields, message)),
    error: unlessRepeated((fields, message) => log.error(fields, message)),
    ...(log.linesLost && { linesLost: log.linesLost }),
    ...(log.bytesWaiting && { bytesWaiting: log.bytesWaiting }),
  }
}

/** The error, or one of its causes, that says what has to be mended. */
function misconfigurationIn(error: unknown): StoreMisconfiguredError | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof StoreMisconfiguredError) return cause
  return null
}
