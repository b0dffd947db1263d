import type { Principal } from '../../domain/principal.ts'

export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  /** Lines that could not be written, and bytes that wait to be: of a log that knows. */
  linesLost?: () => number
  bytesWaiting?: () => number
}

/** A request that has ended, for its log line. Nothing of it is the caller's text but the ids, which are checked. */
export interface RequestEntry {
  method: string
  /** The route's pattern. */
  route: string
  /** 499 if the caller went away before the answer. */
  status: number
  ms: number
  requestId: string
  principal: Principal | null
  /** Whose it was, as far as can be told: of a request without a good credential, null for any other. */
  address: string | null
}

/** What the use cases report about themselves. */
export interface Telemetry {
  log: Logger
  authenticated(kind: 'token' | 'legacy' | 'jwt' | 'user' | 'none', outcome: string): void
  appended(seconds: number, events: number): void
  projected(seconds: number, events: number): void
  usageLost(count: number): void
  /** An event was refused. `uses`: how many it tells of that are not in every count because of that. */
  damaged(kind: string, uses?: number): void
}
