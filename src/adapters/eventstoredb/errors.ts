import { type CommandError, ErrorType, isCommandError } from '@eventstore/db-client'
import { ConflictError, StoreUnavailableError, UnknownOutcomeError } from '../../application/ports/errors.ts'
import { DamagedError } from '../../domain/errors.ts'

/** Numbers of gRPC. */
const UNKNOWN = 2
const INVALID_ARGUMENT = 3
const PERMISSION_DENIED = 7
const UNAVAILABLE = 14
const UNAUTHENTICATED = 16

/** With these words the client says that no request has left it. */
const NEVER_SENT =
  /No connection established|Name resolution failed|Channel closed before call started|Failed to discover/

const INVALID_POSITION = /invalid position|ReadAllResult: (?:Error|InvalidPosition)/i

/** What an append came to that the client rejected. Whatever does not say that nothing was written may have been. */
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
      return isRefused(error)
        ? new StoreUnavailableError(`nothing appended: ${said(error)}`)
        : new UnknownOutcomeError(`no answer to an append: ${said(error)}`)
  }
}

/** What a read or a subscription came to. */
export function readError(error: unknown): Error {
  if (error instanceof StoreUnavailableError || error instanceof DamagedError) return error
  const known = asCommandError(error)
  if (known?.type === ErrorType.STREAM_DELETED) return deleted(known.streamName)
  return new StoreUnavailableError(`the event store cannot be read: ${said(error)}`)
}

export const isMissingStream = (error: unknown): boolean =>
  asCommandError(error)?.type === ErrorType.STREAM_NOT_FOUND

/**
 * Nothing begins at the position that was asked for: 23.10 answers with a failure that has no name of its own (2), newer
 * servers with one that has (3).
 */
export const isInvalidPosition = (error: unknown): boolean => {
  const { code } = error as { code?: unknown }
  return (code === UNKNOWN || code === INVALID_ARGUMENT) && INVALID_POSITION.test(said(error))
}

/** Unlike an outage: the same append can never succeed. */
export const tooLarge = (stream: string): RangeError =>
  new RangeError(`an append to ${stream} has more than 1 MiB`)

/** Nothing of the product deletes streams. */
export const deleted = (stream: string): DamagedError =>
  new DamagedError(`${stream} was deleted from the event store`)

const asCommandError = (error: unknown): CommandError | undefined =>
  error instanceof Error && isCommandError(error) ? error : undefined

function isRefused(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  if (code === PERMISSION_DENIED || code === UNAUTHENTICATED) return true
  return (code === UNAVAILABLE || code === undefined) && NEVER_SENT.test(said(error))
}

const said = (error: unknown): string =>
  error instanceof Error ? error.message || error.name : String(error)
