import { setTimeout as later } from 'node:timers/promises'
import { MongoBulkWriteError, MongoError, MongoServerError } from 'mongodb'
import { StoreUnavailableError } from '../../application/ports.ts'

/** Codes of servers that are no primary, going down, interrupted, out of time or out of disk: the next try may work. */
const PASSING_CODES = new Set([
  6, 7, 13, 18, 43, 46, 50, 64, 89, 91, 134, 189, 237, 262, 9001, 10058, 10107, 11600, 11601, 11602, 13388,
  13435, 13436, 14031,
])

const DUPLICATE_KEY = 11_000
export const NAMESPACE_EXISTS = 48

/**
 * What the driver said, as the port has it. Its own messages are left behind: they hold values of documents, addresses
 * and, for a connection string that cannot be parsed, pieces of that.
 */
export function toStoreError(error: unknown): unknown {
  if (!(error instanceof MongoError)) return error
  if (!(error instanceof MongoServerError)) {
    return new StoreUnavailableError(`MongoDB cannot be reached: ${error.name}`)
  }
  const reason = `${error.codeName ?? 'code'} ${error.code}`
  return PASSING_CODES.has(Number(error.code))
    ? new StoreUnavailableError(`MongoDB cannot do it now: ${reason}`)
    : new Error(`MongoDB refused it: ${reason}`)
}

export const isCode = (error: unknown, code: number): boolean =>
  error instanceof MongoServerError && error.code === code

/** Two writers made the same document at the same time: the second finds it there when it tries again. */
export const isUpsertRace = (error: unknown): boolean =>
  error instanceof MongoBulkWriteError && error.code === DUPLICATE_KEY && / index: _id_ /.test(error.message)

/** Gives up after `ms`, whatever the driver does: its own limits are each for one step of several. */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const done = new AbortController()
  const limit = later(ms, undefined, { signal: done.signal }).then(() => {
    throw new StoreUnavailableError(`MongoDB did not answer within ${ms} ms`)
  })
  try {
    return await Promise.race([work, limit])
  } catch (error) {
    throw toStoreError(error)
  } finally {
    done.abort()
    limit.catch(() => {})
  }
}
