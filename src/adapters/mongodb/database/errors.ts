import { BSON, MongoBulkWriteError, MongoError, MongoInvalidArgumentError, MongoServerError } from 'mongodb'
import {
  RefusedChangeError,
  StoreMisconfiguredError,
  StoreUnavailableError,
} from '../../../application/ports/errors.ts'
import { tlsFault } from '../../network/tls.ts'

/**
 * Codes of servers that are not the primary, are shutting down, interrupted or busy, or have run out of time, disk,
 * files or a quota. The next try may succeed.
 */
const PASSING_CODES = new Set<unknown>([
  6, 7, 24, 43, 46, 50, 64, 79, 89, 90, 91, 94, 100, 112, 117, 133, 134, 138, 146, 189, 202, 203, 237, 246,
  262, 264, 292, 314, 317, 365, 384, 402, 8000, 9001, 10058, 10107, 11600, 11601, 11602, 12501, 13388, 13435,
  13436, 14031,
])

/**
 * Codes of refusals that are due to the documents themselves: types, names, sizes, depth, validators. Any other code
 * may be either kind, so it becomes a plain error.
 */
const LASTING_CODES = new Set<unknown>([
  2, 9, 14, 15, 16, 22, 28, 52, 53, 54, 55, 56, 57, 66, 121, 10334, 17280, 17419, 17420,
])

/** Unauthorized and AuthenticationFailed; Atlas has a code of its own for many things. */
const [UNAUTHORIZED, NOT_AUTHENTICATED, OF_ATLAS] = [13, 18, 8000]

/** NotWritablePrimary, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary. */
const NO_PRIMARY = new Set<unknown>([10107, 13435, 13436])

export const DUPLICATE_KEY = 11_000
export const NAMESPACE_EXISTS = 48

/**
 * Translates an error of the driver into one of the port. Messages of the driver are dropped, since they hold values of
 * documents, addresses, and parts of connection strings that cannot be parsed.
 */
export function toStoreError(error: unknown): unknown {
  const fault = userFault(error) ?? tlsFault(error)
  if (fault !== null) return new StoreMisconfiguredError(fault)
  if (!(error instanceof MongoError)) return isSystemError(error) ? cannotReach(error) : error
  // A network failure during a bulk write comes as an error of the server, but without a numeric code.
  if (!(error instanceof MongoServerError) || typeof error.code !== 'number') return cannotReach(error)
  if (NO_PRIMARY.has(error.code))
    return new StoreUnavailableError(
      `MongoDB has no primary here (is its replica set initiated?): code ${error.code}`,
    )
  return PASSING_CODES.has(error.code)
    ? new StoreUnavailableError(`MongoDB cannot do it now: code ${error.code}`)
    : new Error(`MongoDB refused it: code ${error.code}`)
}

function userFault(error: unknown): string | null {
  if (!(error instanceof MongoServerError)) return null
  const isBadLogin = error.code === OF_ATLAS && /bad auth/.test(error.message)
  if (error.code === NOT_AUTHENTICATED || isBadLogin)
    return 'MongoDB refuses the user or the password in this address'
  if (error.code !== UNAUTHORIZED) return null
  return 'MongoDB does not let this user do what is needed: name one in this address that has the roles readWrite and dbAdmin on the database'
}

const cannotReach = (error: Error): Error =>
  new StoreUnavailableError(`MongoDB cannot be reached: ${error.name}`)

/** The same for a write. The server may also refuse the changes for what is in them. */
export function toWriteError(error: unknown): unknown {
  if (isOfContent(error)) return new Error(`MongoDB's driver does not send it: ${error.name}`)
  if (!(error instanceof MongoServerError)) return toStoreError(error)
  // Upserts find documents by id. So a duplicate id means that a race was lost; the next try finds the document.
  if (error.code === DUPLICATE_KEY)
    return / index: _id_ /.test(error.message)
      ? new StoreUnavailableError('MongoDB was asked to make the same document too often at the same time')
      : new RefusedChangeError('taken', `MongoDB refused it: code ${DUPLICATE_KEY}`)
  return LASTING_CODES.has(error.code)
    ? new RefusedChangeError('refused', `MongoDB refused it: code ${String(error.code)}`)
    : toStoreError(error)
}

/**
 * Was the error thrown by the language, the driver or its encoder? Most likely nothing was sent then, so it is no
 * outage. It takes more than one try to be certain of that. Some of these errors have a code, as system errors do.
 */
const isOfContent = (error: unknown): error is Error =>
  error instanceof TypeError ||
  error instanceof RangeError ||
  error instanceof BSON.BSONError ||
  error instanceof MongoInvalidArgumentError

/** An error of Node itself: the driver passes it on when a socket is closed under it. */
const isSystemError = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && typeof error.code === 'string'

export const isCode = (error: unknown, code: number): boolean =>
  error instanceof MongoServerError && error.code === code

/** Have two writers made the same document at the same time? The loser finds it when it tries again. */
export const isUpsertRace = (error: unknown): boolean =>
  error instanceof MongoBulkWriteError && error.code === DUPLICATE_KEY && / index: _id_ /.test(error.message)

/** Gives up after `ms`, whatever the driver does, since its own time-outs are for single steps only. */
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
