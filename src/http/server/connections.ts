import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export interface ConnectionLimits {
  /**
   * Requests that may wait behind others, on all connections together: some 4 KB of memory each. The connection that
   * brings one more is cut off.
   */
  waiting: number
  /** The same with those of connections that were cut off in this turn. Past it nothing is read until they are gone. */
  parsed: number
  /** Bytes of answers that callers have not taken yet, on all connections together. Past it the oldest are cut off. */
  unsentBytes: number
  /** How long a caller may take to accept an answer, in milliseconds. */
  answerMs: number
  /** How often that is looked at, in milliseconds. */
  checkMs: number
  /** How long a refused connection is still read from, in milliseconds. */
  lingerMs: number
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  waiting: 40_000,
  parsed: 50_000,
  unsentBytes: 64 * 1024 * 1024,
  answerMs: 30_000,
  checkMs: 5_000,
  lingerMs: 1_000,
}

/** What the connections of a server hold at the moment. */
export interface ConnectionLoad {
  connections(): number
  waiting(): number
  unsentBytes(): number
  /** How many connections were cut off at one of the limits so far. */
  cutOff(): number
}

export interface Connections extends ConnectionLoad {
  /** To be told of each new connection. */
  open(socket: Socket): void
  /** To be told of each connection that the server closed because it has too many. */
  turnedAway(): void
  /** To be told of each request; serves it in its turn. */
  request: RequestListener
  /** Ends a connection that no further request can be read from: answers what was read whole, then this. */
  refuse(socket: Socket, answer: string): void
  /** Ends the watch over slow callers. */
  stop(): void
}

interface Exchange {
  request: IncomingMessage
  response: ServerResponse
}

interface Connection {
  socket: Socket
  /** The one exchange that is under way. */
  current: Exchange | null
  /** Requests that were sent before the answer to an earlier one was taken. */
  waiting: Exchange[]
  /** The last answer, where the connection is refused. */
  refusal: string | null
  /** Of the current answer: how many bytes stood unsent when it was made, and when, by `performance.now()`. */
  unsent: { bytes: number; since: number } | null
}

/** Serves a request. Resolves when the answer is made, whether or not the caller has taken it. */
type Serve = (request: IncomingMessage, response: ServerResponse) => Promise<unknown>

/** Requests sent ahead, of all connections together, that are begun in one turn of the loop. */
const PER_TURN = 16

/**
 * Serves the requests of each connection one after the other, the next one only when the operating system has taken the
 * answer before it. Node would serve everything that a caller sends ahead (thousands of requests in a single read) and
 * keep the answers. While requests wait, nothing more is read from their connection.
 */
export function createConnections(serve: Serve, limits: ConnectionLimits): Connections {
  const connections = new Map<Socket, Connection>()
  /** Those whose next request has to wait for a later turn. */
  const ready = new Set<Connection>()
  let [waiting, cutOff, begun, isHalted] = [0, 0, 0, false]

  function cut({ socket }: Connection): void {
    if (socket.destroyed) return
    cutOff++
    socket.destroy()
  }
  const unsent = createUnsent(limits, cut)

  function begin(connection: Connection, exchange: Exchange): void {
    connection.current = exchange
    exchange.response.once('close', () => next(connection))
    serve(exchange.request, exchange.response).then(
      () => answered(connection, exchange),
      () => connection.socket.destroy(),
    )
  }

  /** What the operating system has not taken of an answer stays in memory until the caller reads on. */
  function answered(connection: Connection, { response }: Exchange): void {
    const bytes = response.writableLength
    if (bytes === 0 || connection.current?.response !== response || connection.socket.destroyed) return
    unsent.add(connection, bytes)
  }

  /** The exchange under way is over: its answer is taken, or its caller gone. */
  function next(connection: Connection): void {
    unsent.release(connection)
    connection.current = null
    if (connection.waiting.length === 0) return goOn(connection)
    if (begun === 0) setImmediate(newTurn)
    if (++begun <= PER_TURN) goOn(connection)
    else ready.add(connection)
  }

  /** Node takes one new connection a turn, so that long turns would keep new callers out. */
  function newTurn(): void {
    begun = 0
    for (const connection of ready) {
      if (begun === PER_TURN) break
      ready.delete(connection)
      begun++
      goOn(connection)
    }
    if (begun > 0) setImmediate(newTurn)
  }

  function goOn(connection: Connection): void {
    const { socket, waiting: own, refusal } = connection
    // An answer may have announced the end of the connection: what was sent behind that request is not served.
    if (socket.destroyed || socket.writableEnded) return
    const exchange = own.shift()
    if (exchange) {
      waiting--
      if (own.length === 0 && !isHalted) socket.resume()
      begin(connection, exchange)
    } else if (refusal !== null) end(socket, refusal)
  }

  function end(socket: Socket, answer: string): void {
    socket.end(answer)
    // Closed at once, with something unread, the connection would be reset, and the answer might not arrive.
    const late = setTimeout(() => socket.destroy(), limits.lingerMs)
    socket.once('close', () => clearTimeout(late))
    socket.resume()
  }

  function closed(connection: Connection): void {
    connections.delete(connection.socket)
    ready.delete(connection)
    unsent.release(connection)
    waiting -= connection.waiting.length
    connection.waiting = []
    if (!isHalted || waiting > limits.waiting) return
    isHalted = false
    for (const { socket, waiting: own } of connections.values()) if (own.length === 0) socket.resume()
  }

  /** One turn of the loop reads from every connection that has something, and what is cut off is freed after it. */
  function halt(): void {
    isHalted = true
    for (const socket of connections.keys()) socket.pause()
  }

  const checking = setInterval(unsent.cutSlow, limits.checkMs)
  checking.unref()

  return {
    open(socket) {
      const connection: Connection = {
        socket,
        current: null,
        waiting: [],
        refusal: null,
        unsent: null,
      }
      connections.set(socket, connection)
      socket.once('close', () => closed(connection))
      // Node reads on for the sake of a body, or when an answer has drained.
      socket.on('resume', () => {
        if (isHalted || connection.waiting.length > 0) socket.pause()
      })
    },

    turnedAway: () => void cutOff++,

    request(request, response) {
      const connection = connections.get(request.socket)
      if (!connection) return
      const exchange = { request, response }
      if (!connection.current && connection.waiting.length === 0) return begin(connection, exchange)
      // Also where the connection is cut off already: until it has closed, Node holds on to them.
      waiting++
      connection.waiting.push(exchange)
      connection.socket.pause()
      if (waiting > limits.waiting) cut(connection)
      if (waiting > limits.parsed && !isHalted) halt()
    },

    refuse(socket, answer) {
      const connection = connections.get(socket)
      if (!connection || connection.refusal !== null) return
      connection.refusal = answer
      const { current } = connection
      const last = connection.waiting.at(-1) ?? current
      if (last && !last.request.complete) {
        // What cannot be read is the body of this request: the answer is the one to it.
        if (connection.waiting.pop()) waiting--
        else if (last.response.headersSent) return void socket.destroy()
        else return end(socket, answer)
      }
      if (!current && connection.waiting.length === 0) end(socket, answer)
    },

    stop: () => clearInterval(checking),
    connections: () => connections.size,
    waiting: () => waiting,
    unsentBytes: unsent.bytes,
    cutOff: () => cutOff,
  }
}

/** Answers that the operating system has not taken, the longest-standing first. */
function createUnsent(limits: ConnectionLimits, cut: (connection: Connection) => void) {
  const connections = new Set<Connection>()
  let total = 0

  function release(connection: Connection): void {
    total -= connection.unsent?.bytes ?? 0
    connection.unsent = null
    connections.delete(connection)
  }

  return {
    add(connection: Connection, bytes: number): void {
      connection.unsent = { bytes, since: performance.now() }
      total += bytes
      connections.add(connection)
      for (const oldest of connections) {
        if (total <= limits.unsentBytes) break
        release(oldest)
        cut(oldest)
      }
    },
    release,
    cutSlow(): void {
      const latest = performance.now() - limits.answerMs
      for (const connection of connections)
        if (connection.unsent && connection.unsent.since < latest) cut(connection)
    },
    bytes: () => total,
  }
}
