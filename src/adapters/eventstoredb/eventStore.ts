import type { EventStore } from '../../application/ports/eventStore.ts'
import { StoreUnavailableError } from '../../application/ports/errors.ts'
import { append, assertAppendable, limitStream, type StreamLimit } from './append.ts'
import { connect } from './connection.ts'
import { startBudget, withinDeadline } from './deadline.ts'
import { readError } from './errors.ts'
import { follow } from './follow.ts'
import { createTurns } from './queue.ts'
import { head, readAll, readAt, readStream } from './read.ts'

export type { StreamLimit } from './append.ts'

export interface EventStoreDbOptions {
  /** Refuses appends. */
  readOnly?: boolean
  limits?: readonly StreamLimit[]
  /** Names the address in messages about what lasts. Default: its hosts. */
  called?: string
  /**
   * How long one call may take, in milliseconds: a read until something comes, an append with the wait for its turn.
   */
  callMs?: number
}

const CALL_MS = 2_500

/**
 * The event store on a server: EventStoreDB 23.10 or newer, or KurrentDB. The address has the server's own form:
 * `esdb://user:password@host:2113?tls=false`. Connects with the first call. A position consists of the commit and the
 * prepare position of an event; there are gaps between positions.
 * @throws TypeError for text that is no address
 */
export async function openEventStoreDb(url: string, options: EventStoreDbOptions = {}): Promise<EventStore> {
  const { readOnly = false, limits = [], callMs = CALL_MS } = options
  const connection = connect(url, callMs, options.called)
  const inTurn = createTurns(callMs)
  const closing = new AbortController()

  return {
    async append(stream, expected, events) {
      connection.assertOpen()
      assertAppendable(stream, expected, events)
      if (readOnly) throw new StoreUnavailableError(`${connection.hosts} is open for reading only`)
      let timeLeft = startBudget(callMs)
      return inTurn(stream, async () => {
        const limited =
          expected === 'no_stream' ? limits.find(({ prefix }) => stream.startsWith(prefix)) : null
        if (limited) {
          await limitStream(connection, stream, limited.keeps)
          timeLeft = startBudget(callMs)
        }
        return append(connection, stream, expected, events, timeLeft())
      })
    },

    async readStream(stream, fromRevision = 0, limit = Number.MAX_SAFE_INTEGER) {
      connection.assertOpen()
      return readStream(connection, stream, fromRevision, limit)
    },

    async at(position) {
      connection.assertOpen()
      return readAt(connection, position)
    },

    async *readAll(after) {
      connection.assertOpen()
      yield* readAll(connection, after)
    },

    subscribe: (after, prefixes, signal) =>
      follow(connection, after, prefixes, AbortSignal.any([signal, closing.signal])),

    async head() {
      connection.assertOpen()
      return head(connection)
    },

    async close() {
      closing.abort()
      await withinDeadline(connection.close(), callMs).catch((error: unknown) => {
        throw readError(error)
      })
    },
  }
}
