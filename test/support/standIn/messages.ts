import { Metadata } from '@grpc/grpc-js'
import shared from '@eventstore/db-client/generated/shared_pb.js'
import streams from '@eventstore/db-client/generated/streams_pb.js'
import type { Entry, Outcome, Proposed } from './log.ts'

/** Between what the stand-in keeps and what goes over the wire. */

const empty = () => new shared.Empty()

export const streamOf = (identifier: shared.StreamIdentifier | undefined): string =>
  Buffer.from(identifier?.getStreamName_asU8() ?? []).toString()

export function toProposed(request: streams.AppendReq): Proposed {
  const message = request.getProposedMessage()
  return {
    id: message?.getId()?.getString() ?? '',
    type: message?.getMetadataMap().get('type') ?? '',
    contentType: message?.getMetadataMap().get('content-type') ?? '',
    data: message?.getData_asU8() ?? new Uint8Array(),
    metadata: message?.getCustomMetadata_asU8() ?? new Uint8Array(),
  }
}

export function toAppendResponse(outcome: Outcome, base: number): streams.AppendResp {
  const response = new streams.AppendResp()
  if ('actual' in outcome) {
    const conflict = new streams.AppendResp.WrongExpectedVersion()
    if (base < 0) conflict.setExpectedNoStream(empty())
    else conflict.setExpectedRevision(String(base))
    if (outcome.actual < 0) conflict.setCurrentNoStream(empty())
    else conflict.setCurrentRevision(String(outcome.actual))
    return response.setWrongExpectedVersion(conflict)
  }
  const success = new streams.AppendResp.Success()
  if (outcome.revision < 0) success.setNoStream(empty())
  else success.setCurrentRevision(String(outcome.revision))
  if (outcome.position === undefined) success.setNoPosition(empty())
  else {
    const position = new streams.AppendResp.Position()
    position.setCommitPosition(String(outcome.position)).setPreparePosition(String(outcome.position))
    success.setPosition(position)
  }
  return response.setSuccess(success)
}

const TICKS_PER_MILLISECOND = 10_000

export function toEventResponse(entry: Entry): streams.ReadResp {
  const id = new shared.UUID()
  id.setString(entry.id)
  const identifier = new shared.StreamIdentifier()
  identifier.setStreamName(Buffer.from(entry.stream))
  const position = String(entry.position)
  const recorded = new streams.ReadResp.ReadEvent.RecordedEvent()
  recorded
    .setId(id)
    .setStreamIdentifier(identifier)
    .setStreamRevision(String(entry.revision))
    .setCommitPosition(position)
    .setPreparePosition(position)
    .setData(entry.data)
    .setCustomMetadata(entry.metadata)
  recorded
    .getMetadataMap()
    .set('type', entry.type)
    .set('content-type', entry.contentType)
    .set('created', String(entry.created * TICKS_PER_MILLISECOND))
  const event = new streams.ReadResp.ReadEvent()
  event.setEvent(recorded).setCommitPosition(position)
  return new streams.ReadResp().setEvent(event)
}

export function toStreamNotFound(name: string): streams.ReadResp {
  const identifier = new shared.StreamIdentifier()
  identifier.setStreamName(Buffer.from(name))
  const notFound = new streams.ReadResp.StreamNotFound()
  notFound.setStreamIdentifier(identifier)
  return new streams.ReadResp().setStreamNotFound(notFound)
}

export function toConfirmation(id: string): streams.ReadResp {
  const confirmation = new streams.ReadResp.SubscriptionConfirmation()
  confirmation.setSubscriptionId(id)
  return new streams.ReadResp().setConfirmation(confirmation)
}

export function toCheckpoint(position: bigint): streams.ReadResp {
  const checkpoint = new streams.ReadResp.Checkpoint()
  checkpoint.setCommitPosition(String(position)).setPreparePosition(String(position))
  return new streams.ReadResp().setCheckpoint(checkpoint)
}

export const toCaughtUp = (): streams.ReadResp =>
  new streams.ReadResp().setCaughtUp(new streams.ReadResp.CaughtUp())

/** An error as the server answers it: gRPC's number, a text, and what the client reads more from. */
export interface Failure {
  code: number
  details: string
  metadata?: Metadata
}

export function failure(code: number, details: string, more: Record<string, string> = {}): Failure {
  const metadata = new Metadata()
  for (const [key, value] of Object.entries(more)) metadata.set(key, value)
  return { code, details, metadata }
}
