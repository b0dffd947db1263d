import { BSON, MongoBulkWriteError, MongoError, MongoInvalidArgumentError, MongoServerError } from 'mongodb'
import { RefusedChangeError, StoreUnavailableError } from '../../../application/ports/errors.ts'

/**
 * Codes of servers that are no primary, going down, interrupted, busy, out of time, of disk, of files or of a quota: the
 * next try may work.
 */
const PASSING_CODES = new Set<unknown>([
  6, 7, 13, 18, 24, 43, 46, 50, 64, 79, 89, 90, 91, 94, 100, 112, 117, 133, 134, 138, 146, 189, 202, 203, 237,
  246, 262, 264, 292, 314, 317, 365, 384, 402, 8000, 9001, 10058, 10107, 11600, 11601, 11602, 12501, 13388,
  13435, 13436, 14031,
])

/**
 * Codes of what the server has judged by the documents themselves: types, names, sizes, depth, validators. Any other
 * one may be either, so that nothing is made of it but an error.
 */
const LASTING_CODES = new Set<unknown>([
  2, 9, 14, 15, 16, 22, 28, 52, 53, 54, 55, 56, 57, 66, 121, 10334, 17280, 17419, 17420,
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

/** The same for a write of changes, which the server may refuse for what is in them. */
export function toWriteError(error: unknown): unknown {
  if (isOfContent(error)) return new Error(`MongoDB's driver does not send it: ${error.name}`)
  if (!(error instanceof MongoServerError)) return toStoreError(error)
  // Documents are found by their ids: who meets that index has lost a race, and finds the document the next time.
  if (error.code === DUPLICATE_KEY)
    return / index: _id_ /.test(error.message)
      ? new StoreUnavailableError('MongoDB was asked to make the same document too often at the same time')
      : new RefusedChangeError('taken', `MongoDB refused it: code ${DUPLICATE_KEY}`)
  return LASTING_CODES.has(error.code)
    ? new RefusedChangeError('refused', `MongoDB refused it: code ${String(error.code)}`)
    : toStoreError(error)
}

/**
 * Thrown by the language, the driver or its encoder, most likely before anything was sent, so that it is no outage. But
 * not for certain: who wants to be needs more than one try. Some of these have a code as system errors do.
 */
const isOfContent = (error: unknown): error is Error =>
  error instanceof TypeError ||
  error instanceof RangeError ||
  error instanceof BSON.BSONError ||
  error instanceof MongoInvalidArgumentError

/** A socket may end under the driver, which then passes on what Node says. */
const isSystemError = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && typeof error.code === 'string'

export const isCode = (error: unknown, code: number): boolean =>
  error instanceof MongoServerError && error.code === code

/** Two writers made the same document at the same time: the second finds it there when it tries again. */
export const isUpsertRace = (error: unknown): boolean =>
  error instanceof MongoBulkWriteError && error.code === DUPLICATE_KEY && / index: _id_ /.test(error.message)

/** Gives up after `ms`, whatever the driver does: its own limits are each for one step of several. */
export async function within<T>(ms: number, work: Promise<T>, translate = toStoreError): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    const giveUp = () => reject(new StoreUnavailableError(`MongoDB did not answer within ${ms} ms`))
    timer = setTimeout(giveUp, ms)
  })
  try {
    return await Promise.race([work, limit])
  } catch (error) {
    throw translate(error)
  } finally {
    clearTimeout(timer)
  }
}
