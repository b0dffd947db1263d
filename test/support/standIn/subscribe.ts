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
import { type ReadCall, send } from './send.ts'
import type { Version } from './version.ts'

/** Events that pass by, wanted or not, between two checkpoints. */
const CHECKPOINT_EVENTS = 32
/**
 * How many events may wait for a consumer that is live: 32 in the server's buffer, and what the connection takes
 * meanwhile. Counted against the real server: a burst of 100 is never too much for an idle subscriber, one of 200 always.
 */
const LIVE_EVENTS = 128

/** Serves a subscription to everything, of streams with one of the prefixes, until it is cancelled or dropped. */
export async function serveSubscription(
  call: ReadCall,
  options: streams.ReadReq.Options,
  { log, faults, version }: { log: Log; faults: Misbehaviour; version: Version },
): Promise<Failure | null> {
  if (!options.hasAll()) return failure(status.UNIMPLEMENTED, 'the stand-in follows all streams only')
  const position = options.getAll()?.getPosition()
  const start = BigInt(position?.getCommitPosition() ?? -1)
  const first = log.indexAfter(start)
  if (first === null) return version.invalidPosition
  const prefixes = options.getFilter()?.getStreamIdentifier()?.getPrefixList() ?? ['']
  const isWanted = (entry: Entry): boolean =>
    (version.givesBeforeTheStart || entry.position > start) &&
    prefixes.some((prefix) => entry.stream.startsWith(prefix))

  let passed = { index: first - 1, position: log.all()[first - 1]?.position ?? -1n }
  /** What the subscription has not seen yet. */
  const ahead = (): number => {
    const isThere = log.all()[passed.index]?.position === passed.position
    return isThere ? passed.index + 1 : (log.indexAfter(passed.position) ?? 0)
  }
  /** Was the end of the log reached, so that what is written waits in the server's buffer? */
  let isLive = false
  let dropped: Drop | undefined
  let wake = (): void => {}
  const forget = faults.onDrop((how) => {
    dropped ??= how
    wake()
  })
  const unwatch = log.watch(() => {
    if (isLive && log.all().slice(ahead()).filter(isWanted).length > LIVE_EVENTS) {
      if (version.dropsSlowSubscriptions) dropped ??= 'slow'
      isLive = false
    }
    wake()
  })
  call.on('cancelled', () => wake())
  const isDeaf = faults.hearing()
  const give = async (response: streams.ReadResp): Promise<void> => {
    if (!isDeaf()) await send(call, faults, response)
  }

  let passedBy = 0
  async function pass(entry: Entry): Promise<void> {
    if (isWanted(entry)) {
      await faults.mayDeliver()
      await give(toEventResponse(entry))
    }
    if (++passedBy % CHECKPOINT_EVENTS === 0) await give(toCheckpoint(entry.position))
  }

  try {
    await give(toConfirmation(randomUUID()))
    while (!dropped && !call.cancelled) {
      const index = ahead()
      const entry = log.all()[index]
      if (entry) {
        passed = { index, position: entry.position }
        await pass(entry)
      } else if (!isLive) {
        isLive = true
        await give(toCaughtUp())
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
    return dropped ? drops[dropped] : null
  } finally {
    unwatch()
    forget()
  }
}
