import { type ServerWritableStream, status } from '@grpc/grpc-js'
import type streams from '@eventstore/db-client/generated/streams_pb.js'
import type { Misbehaviour } from './faults.ts'
import { type Failure, failure } from './messages.ts'
import type { Version } from './standIn.ts'

export type ReadCall = ServerWritableStream<streams.ReadReq, streams.ReadResp>

const INVALID_POSITION: Record<Version, Failure> = {
  '23.10': failure(status.UNKNOWN, 'Unexpected FilteredReadAllResult: Error'),
  '24.10': failure(status.INVALID_ARGUMENT, 'Trying to read from an invalid position'),
}

export const invalidPosition = (version: Version): Failure => INVALID_POSITION[version]

/** Writes with regard to whoever reads: resolves when there is room for more. @throws when the call was cancelled */
export async function send(call: ReadCall, faults: Misbehaviour, response: streams.ReadResp): Promise<void> {
  await faults.thawed()
  if (call.cancelled) throw new Error('cancelled')
  if (call.write(response)) return
  await new Promise<void>((resolve) => {
    const go = (): void => {
      call.off('drain', go)
      call.off('cancelled', go)
      resolve()
    }
    call.on('drain', go)
    call.on('cancelled', go)
  })
}
