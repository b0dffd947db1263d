import type { ServerWritableStream } from '@grpc/grpc-js'
import type streams from '@eventstore/db-client/generated/streams_pb.js'
import type { Misbehaviour } from './faults.ts'

export type ReadCall = ServerWritableStream<streams.ReadReq, streams.ReadResp>

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
