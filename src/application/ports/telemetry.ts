import type { Client, Operator, Principal } from '../../domain/principal.ts'

export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  /** How many lines could not be written, and how many bytes wait to be written; absent in a log that does not know. */
  linesLost?: () => number
  bytesWaiting?: () => number
}

/** A request that has ended, for its log line. Only the ids come from the caller, and those have been checked. */
export interface RequestEntry {
  method: string
  /** The route's pattern. */
  route: string
  /** 499 if the caller went away before the answer. */
  status: number
  ms: number
  requestId: string
  principal: Principal | Operator | Client | null
  /** The caller's address, for a request without a good credential; null for any other request. */
  address: string | null
}

/** What the use cases report about themselves. */
export interface Telemetry {
  log: Logger
  authenticated(
    kind: 'token' | 'legacy' | 'jwt' | 'user' | 'operator' | 'client' | 'none',
    outcome: string,
  ): void
  appended(seconds: number, events: number): void
  projected(seconds: number, events: number): void
  usageLost(count: number): void
  /** An event was refused. `uses` is how many uses it records, which some counts now lack. */
  damaged(kind: string, uses?: number): void
}
