import { type CommandError, ErrorType, isCommandError } from '@eventstore/db-client'
import { ConflictError, StoreUnavailableError, UnknownOutcomeError } from '../../application/ports/errors.ts'
import { DamagedError } from '../../domain/errors.ts'

/** Status codes of gRPC. */
const UNKNOWN = 2
const INVALID_ARGUMENT = 3
export const PERMISSION_DENIED = 7
const UNAVAILABLE = 14
export const UNAUTHENTICATED = 16

/** Messages by which the client shows that it has not sent the request. */
const NEVER_SENT =
  /No connection established|Name resolution failed|Channel closed before call started|Failed to discover/

const INVALID_POSITION = /invalid position|ReadAllResult: (?:Error|InvalidPosition)/i

/** Translates the error of an append. Unless the error proves that nothing was written, the outcome is unknown. */
export function appendError(stream: string, error: unknown): Error {
  const known = asCommandError(error)
  switch (known?.type) {
    case ErrorType.WRONG_EXPECTED_VERSION:
      return new ConflictError(
        stream,
        typeof known.actualVersion === 'bigint' ? Number(known.actualVersion) : -1,
      )
    case ErrorType.MAXIMUM_APPEND_SIZE_EXCEEDED:
      return tooLarge(stream)
    case ErrorType.STREAM_DELETED:
      return deleted(stream)
    case ErrorType.NOT_LEADER:
      return new StoreUnavailableError(`nothing appended: the server does not lead its cluster`)
    default:
      return isNotConnected(error)
        ? new StoreUnavailableError(`nothing appended: ${said(error)}`)
        : new UnknownOutcomeError(`no answer to an append: ${said(error)}`)
  }
}

/** Translates the error of a read or of a subscription. */
export function readError(error: unknown): Error {
  if (error instanceof StoreUnavailableError || error instanceof DamagedError) return error
  const known = asCommandError(error)
  if (known?.type === ErrorType.STREAM_DELETED) return deleted(known.streamName)
  return new StoreUnavailableError(`the event store cannot be read: ${said(error)}`)
}

export const isMissingStream = (error: unknown): boolean =>
  asCommandError(error)?.type === ErrorType.STREAM_NOT_FOUND

/**
 * Does no event begin at the position that was asked for? Version 23.10 answers with an unknown error (2), newer
 * servers with an invalid argument (3).
 */
export const isInvalidPosition = (error: unknown): boolean => {
  const { code } = error as { code?: unknown }
  return (code === UNKNOWN || code === INVALID_ARGUMENT) && INVALID_POSITION.test(said(error))
}

/** Unlike an outage: the same append could never succeed. */
export const tooLarge = (stream: string): RangeError =>
  new RangeError(`an append to ${stream} has more than 1 MiB`)

/** This counts as damage, since the product itself never deletes a stream. */
export const deleted = (stream: string): DamagedError =>
  new DamagedError(`${stream} was deleted from the event store`)

const asCommandError = (error: unknown): CommandError | undefined =>
  error instanceof Error && isCommandError(error) ? error : undefined

/** Does the error say that there was no connection, and so the request was not sent? */
export function isNotConnected(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return (code === UNAVAILABLE || code === undefined) && NEVER_SENT.test(said(error))
}

/** Without the heading of a note that the client leaves empty. */
const said = (error: unknown): string =>
  error instanceof Error
    ? error.message.replace(/\.?\s*Resolution note:\s*$/, '') || error.name
    : String(error)
