import { setTimeout as sleep } from 'node:timers/promises'
import { type sendUnaryData, type ServerReadableStream, status } from '@grpc/grpc-js'
import type streams from '@eventstore/db-client/generated/streams_pb.js'
import type { Misbehaviour } from './faults.ts'
import { type Log, type Outcome, type Proposed, sizeOf } from './log.ts'
import { type Failure, failure, streamOf, toAppendResponse, toProposed } from './messages.ts'
import type { Version } from './version.ts'

type Call = ServerReadableStream<streams.AppendReq, streams.AppendResp>

/** How long the server lets an append wait for the same one that is under way. */
const COMMIT_TIMEOUT_MS = 2_000
/** Calls that are under way together are not served in the order they came. */
const JITTER_MS = 3

const tooLarge = (limit: number): Failure =>
  failure(status.INVALID_ARGUMENT, `Maximum Append Size of ${limit} Exceeded.`, {
    exception: 'maximum-append-size-exceeded',
    'maximum-append-size': String(limit),
  })
const commitTimeout = failure(status.ABORTED, 'Operation timed out: Commit phase timeout')
const cancelled = failure(status.CANCELLED, 'the caller has gone')
const unknownExpectation = failure(status.UNIMPLEMENTED, 'the stand-in knows exact revisions only')

/** Serves `Append`. */
export function createAppend(log: Log, faults: Misbehaviour, { maxAppendBytes }: Version) {
  /** First ids of appends that are written late. */
  const underWay = new Set<string>()

  async function execute(
    stream: string,
    base: number,
    events: readonly Proposed[],
  ): Promise<Outcome | Failure> {
    const [first] = events
    if (first && underWay.has(first.id)) {
      await sleep(COMMIT_TIMEOUT_MS)
      return commitTimeout
    }
    const fault = faults.takeAppendFault()
    switch (fault?.kind) {
      case 'swallow':
        return new Promise(() => {})
      case 'deleted':
        return { revision: base + events.length, position: undefined }
      case 'conflict':
        return { actual: fault.actual }
      case 'late':
        if (first) underWay.add(first.id)
        await sleep(fault.milliseconds)
        if (first) underWay.delete(first.id)
        return log.append(stream, base, events)
      case 'fail':
        log.append(stream, base, events)
        return failure(fault.code, fault.details, fault.more)
      case undefined:
        return log.append(stream, base, events)
    }
  }

  async function serve(call: Call): Promise<streams.AppendResp | Failure> {
    const requests: streams.AppendReq[] = []
    for await (const request of call) requests.push(request as streams.AppendReq)
    // The caller has gone in the middle of its events: those that came through are no append.
    if (call.cancelled) return cancelled
    await sleep(Math.random() * JITTER_MS)
    await faults.delayed()
    await faults.thawed()
    const options = requests.shift()?.getOptions()
    const stream = streamOf(options?.getStreamIdentifier())
    const refusal = faults.refusal(call.metadata) ?? faults.denial(call.metadata, 'append', stream)
    if (refusal) return refusal
    if (!options?.hasRevision() && !options?.hasNoStream()) return unknownExpectation
    const base = options.hasNoStream() ? -1 : Number(options.getRevision())
    const events = requests.map(toProposed)
    const size = events.reduce((sum, event) => sum + sizeOf(event), 0)
    if (size > maxAppendBytes) return tooLarge(maxAppendBytes)
    const outcome = await execute(stream, base, events)
    await faults.thawed()
    return 'code' in outcome ? outcome : toAppendResponse(outcome, base)
  }

  return (call: Call, answer: sendUnaryData<streams.AppendResp>): void => {
    serve(call).then(
      (result) => ('code' in result ? answer(result) : answer(null, result)),
      (error: unknown) => answer({ code: status.CANCELLED, details: String(error) }),
    )
  }
}
