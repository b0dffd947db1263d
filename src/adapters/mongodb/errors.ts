import { MongoBulkWriteError, MongoError, MongoServerError } from 'mongodb'
import { StoreUnavailableError } from '../../application/ports.ts'

/** Codes of servers that are no primary, going down, interrupted, out of time or out of disk: the next try may work. */
const PASSING_CODES = new Set<unknown>([
  6, 7, 13, 18, 43, 46, 50, 64, 89, 91, 94, 100, 112, 134, 138, 189, 237, 246, 262, 9001, 10058, 10107, 11600,
  11601, 11602, 13388, 13435, 13436, 14031,
])

/** Of those, what somebody has to put right: Unauthorized and AuthenticationFailed. */
const NOT_ALLOWED = new Set<unknown>([13, 18])

/** NotWritablePrimary, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary. */
const NO_PRIMARY = new Set<unknown>([10107, 13435, 13436])

export const DUPLICATE_KEY = 11_000
export const NAMESPACE_EXISTS = 48

/**
 * What the driver said, as the port has it. Its own messages are left behind: they hold values of documents, addresses
 * and, for a connection string that cannot be parsed, pieces of that.
 */
export function toStoreError(error: unknown): unknown {
  if (!(error instanceof MongoError)) return isSystemError(error) ? cannotReach(error) : error
  // A failure of the network comes as one of the server when it met a bulk write; it has no number then.
  if (!(error instanceof MongoServerError) || typeof error.code !== 'number') return cannotReach(error)
  if (NOT_ALLOWED.has(error.code))
    return new StoreUnavailableError(`MongoDB refuses the user or what it may do: code ${error.code}`)
  if (NO_PRIMARY.has(error.code))
    return new StoreUnavailableError(
      `MongoDB has no primary here (is its replica set initiated?): code ${error.code}`,
    )
  return PASSING_CODES.has(error.code)
    ? new StoreUnavailableError(`MongoDB cannot do it now: code ${error.code}`)
    : new Error(`MongoDB refused it: code ${error.code}`)
}

const cannotReach = (error: Error): Error =>
  new StoreUnavailableError(`MongoDB cannot be reached: ${error.name}`)

/** A socket may end under the driver, which then passes on what Node says. */
const isSystemError = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && typeof error.code === 'string'

export const isCode = (error: unknown, code: number): boolean =>
  error instanceof MongoServerError && error.code === code

/** Two writers made the same document at the same time: the second finds it there when it tries again. */
export const isUpsertRace = (error: unknown): boolean =>
  error instanceof MongoBulkWriteError && error.code === DUPLICATE_KEY && / index: _id_ /.test(error.message)

/** Gives up after `ms`, whatever the driver does: its own limits are each for one step of several. */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    const giveUp = () => reject(new StoreUnavailableError(`MongoDB did not answer within ${ms} ms`))
    timer = setTimeout(giveUp, ms)
  })
  try {
    return await Promise.race([work, limit])
  } catch (error) {
    throw toStoreError(error)
  } finally {
    clearTimeout(timer)
  }
}
