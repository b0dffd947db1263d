import { status } from '@grpc/grpc-js'
import streams from '@eventstore/db-client/generated/streams_pb.js'
import type { Misbehaviour } from './faults.ts'
import type { Entry, Log } from './log.ts'
import { type Failure, failure, streamOf, toEventResponse, toStreamNotFound } from './messages.ts'
import { type ReadCall, send } from './send.ts'
import { serveSubscription } from './subscribe.ts'
import type { Version } from './version.ts'

type Options = streams.ReadReq.Options

const { BACKWARDS } = streams.ReadReq.Options.ReadDirection

/** Serves `Read`: of a stream, of everything, and subscriptions. */
export function createRead(log: Log, faults: Misbehaviour, version: Version) {
  async function serve(call: ReadCall): Promise<Failure | null> {
    await faults.delayed()
    await faults.thawed()
    const options = call.request.getOptions()
    const asked = options?.hasAll() ? '$all' : streamOf(options?.getStream()?.getStreamIdentifier())
    const refusal = faults.refusal(call.metadata) ?? faults.denial(call.metadata, 'read', asked)
    if (refusal) return refusal
    if (!options) return failure(status.INVALID_ARGUMENT, 'no options')
    if (options.hasSubscription()) return serveSubscription(call, options, { log, faults, version })
    const name = streamOf(options.getStream()?.getStreamIdentifier())
    const found = options.hasStream() ? streamEntries(log, name, options) : allEntries(log, options)
    if (found === 'not found') await send(call, faults, toStreamNotFound(name))
    else if (found === 'invalid') return version.invalidPosition
    else for (const entry of found) await send(call, faults, toEventResponse(entry))
    return null
  }

  return (call: ReadCall): void => {
    serve(call).then(
      (error) => (error ? call.emit('error', error) : call.end()),
      () => call.end(),
    )
  }
}

function streamEntries(log: Log, name: string, options: Options): readonly Entry[] | 'not found' {
  const entries = log.stream(name)
  if (!entries) return 'not found'
  const from = options.getStream()?.hasRevision() ? Number(options.getStream()?.getRevision()) : null
  const count = Number(options.getCount())
  if (options.getReadDirection() === BACKWARDS) {
    return entries
      .filter(({ revision }) => from === null || revision <= from)
      .toReversed()
      .slice(0, count)
  }
  return entries.filter(({ revision }) => from === null || revision >= from).slice(0, count)
}

/** A read of everything begins with the event at the position itself. */
function allEntries(log: Log, options: Options): readonly Entry[] | 'invalid' {
  const all = log.all()
  const count = Number(options.getCount())
  if (options.getReadDirection() === BACKWARDS) return all.slice(-count).toReversed()
  const position = options.getAll()?.getPosition()
  if (!position) return all.slice(0, count)
  const behind = log.indexAfter(BigInt(position.getCommitPosition()))
  if (behind === null) return 'invalid'
  const from = Math.max(
    0,
    all[behind - 1]?.position === BigInt(position.getCommitPosition()) ? behind - 1 : behind,
  )
  return all.slice(from, from + count)
}
