import { randomUUID } from 'node:crypto'
import { status } from '@grpc/grpc-js'
import type streams from '@eventstore/db-client/generated/streams_pb.js'
import { type Drop, drops, type Misbehaviour } from './faults.ts'
import type { Entry, Log } from './log.ts'
import {
  type Failure,
  failure,
  toCaughtUp,
  toCheckpoint,
  toConfirmation,
  toEventResponse,
} from './messages.ts'
import { invalidPosition, type ReadCall, send } from './send.ts'
import type { Version } from './standIn.ts'

/** Events that pass by, wanted or not, between two checkpoints. */
const CHECKPOINT_EVENTS = 32
/**
 * How much may wait for a consumer that is live: 32 in the server's buffer, and what the connection takes meanwhile.
 * Counted against the real server: a burst of 100 never drops an idle subscriber, one of 200 always.
 */
const LIVE_MESSAGES = 128

/** Serves a subscription to everything, of streams with one of the prefixes, until it is cancelled or dropped. */
export async function serveSubscription(
  call: ReadCall,
  options: streams.ReadReq.Options,
  { log, faults, version }: { log: Log; faults: Misbehaviour; version: Version },
): Promise<Failure | null> {
  const position = options.getAll()?.getPosition()
  const start = position ? log.indexAfter(BigInt(position.getCommitPosition())) : 0
  if (!options.hasAll() || start === null) {
    return options.hasAll()
      ? invalidPosition(version)
      : failure(status.UNIMPLEMENTED, 'the stand-in follows all streams only')
  }
  const prefixes = options.getFilter()?.getStreamIdentifier()?.getPrefixList() ?? ['']
  // From a position beyond its end the older server gives what comes, the newer one only what lies behind the position.
  const from = version === '23.10' ? 0n : BigInt(position?.getCommitPosition() ?? 0)
  const isWanted = (entry: Entry): boolean =>
    entry.position > from && prefixes.some((prefix) => entry.stream.startsWith(prefix))

  let dropped: Drop | undefined
  const outbox = createOutbox(() => {
    dropped ??= 'slow'
  })
  const forget = faults.onDrop((how) => {
    dropped ??= how
    outbox.wake()
  })
  call.on('cancelled', outbox.wake)
  let unwatch = (): unknown => undefined
  try {
    await send(call, faults, toConfirmation(randomUUID()))
    let next = start
    for (; next < log.all().length; next++) {
      const entry = log.all()[next] as Entry
      if (isWanted(entry)) await send(call, faults, toEventResponse(entry))
      if (dropped) return drops[dropped]
    }
    const last = log.all().at(-1)
    if (last) outbox.put(toCheckpoint(last.position))
    outbox.put(toCaughtUp())
    let passed = 0
    unwatch = log.watch((entries) => {
      for (const entry of entries) {
        if (isWanted(entry)) outbox.put(toEventResponse(entry))
        if (++passed % CHECKPOINT_EVENTS === 0) outbox.put(toCheckpoint(entry.position))
      }
    })
    while (!dropped && !call.cancelled) {
      const message = outbox.take()
      if (message) await send(call, faults, message)
      else await outbox.filled()
    }
    return dropped ? drops[dropped] : null
  } finally {
    unwatch()
    forget()
  }
}

/** What waits to be written. */
function createOutbox(onOverflow: () => void) {
  const messages: streams.ReadResp[] = []
  let wake = (): void => {}
  return {
    put(message: streams.ReadResp): void {
      messages.push(message)
      if (messages.length > LIVE_MESSAGES) onOverflow()
      wake()
    },
    take: () => messages.shift(),
    wake: () => wake(),
    filled: () =>
      new Promise<void>((resolve) => {
        wake = resolve
      }),
  }
}
