import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export interface ConnectionLimits {
  /**
   * How many requests may wait behind others, on all connections together. Each takes some 4 KB of memory. A connection
   * that brings one more is cut off.
   */
  waiting: number
  /**
   * The same, including requests of connections that were cut off in this turn. Beyond it nothing is read until those
   * are gone.
   */
  parsed: number
  /** Bytes of answers that callers have not read yet, on all connections together. Beyond it the oldest are cut off. */
  unsentBytes: number
  /** How long a caller may take to read an answer, in milliseconds. */
  answerMs: number
  /** How often slow callers are looked for, in milliseconds. */
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
  /** How many connections have been cut off at one of the limits so far. */
  cutOff(): number
}

export interface Connections extends ConnectionLoad {
  /** Call it for each new connection. */
  open(socket: Socket): void
  /** Call it for each connection that the server closed because it has too many. */
  turnedAway(): void
  /** Call it for each request. It serves the request when its turn comes. */
  request: RequestListener
  /**
   * Ends a connection from which no further request can be read. Requests that were read whole are answered first, then
   * this answer is sent.
   */
  refuse(socket: Socket, answer: string): void
  /** Stops looking for slow callers. */
  stop(): void
}

interface Exchange {
  request: IncomingMessage
  response: ServerResponse
}

interface Connection {
  socket: Socket
  /** The exchange that is under way. */
  current: Exchange | null
  /** Requests that the caller sent before it had read the answer to an earlier one. */
  waiting: Exchange[]
  /** The last answer, if the connection is refused. */
  refusal: string | null
  /**
   * About the current answer: the number of bytes that were unsent when it was complete, and the time
   * (`performance.now()`).
   */
  unsent: { bytes: number; since: number } | null
}

/** Serves a request. Resolves when the answer is complete, whether or not the caller has read it. */
type Serve = (request: IncomingMessage, response: ServerResponse) => Promise<unknown>

/** How many requests that were sent ahead are begun in one turn of the loop, on all connections together. */
const PER_TURN = 16

/**
 * Serves the requests of each connection one after the other, and begins the next one only when the operating system
 * has accepted the whole answer before it. Node would serve everything that a caller sends ahead (thousands of requests
 * in a single read) and keep the answers in memory. While requests wait, nothing more is read from their connection.
 */
export function createConnections(serve: Serve, limits: ConnectionLimits): Connections {
  const connections = new Map<Socket, Connection>()
  /** Connections whose next request has to wait for a later turn. */
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
    exchange.response.on('close', () => next(connection))
    serve(exchange.request, exchange.response).then(
      () => answered(connection, exchange),
      () => connection.socket.destroy(),
    )
  }

  /** The part of an answer that the operating system has not accepted stays in memory until the caller reads on. */
  function answered(connection: Connection, { response }: Exchange): void {
    const bytes = response.writableLength
    if (bytes === 0 || connection.current?.response !== response || connection.socket.destroyed) return
    unsent.add(connection, bytes)
  }

  /** The exchange is over: its answer was sent, or its caller has gone. */
  function next(connection: Connection): void {
    unsent.release(connection)
    connection.current = null
    if (connection.waiting.length === 0) return goOn(connection)
    if (begun === 0) setImmediate(newTurn)
    if (++begun <= PER_TURN) goOn(connection)
    else ready.add(connection)
  }

  /** Node accepts one new connection in each turn, so long turns would keep new callers out. */
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
    // An answer may have announced the end of the connection. Requests behind that one are not served.
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
    // If it were closed at once while data is unread, the connection would be reset, and the answer might not arrive.
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

  /** One turn of the loop reads from every connection that has data, and frees what was cut off only afterwards. */
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
      // Node resumes reading to get a body, or when an answer has drained.
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
      // This includes connections that are cut off already: until such a connection has closed, Node keeps its
      // requests.
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
        // The part that cannot be read is the body of this request, so this is the answer to it.
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

/** Answers that the operating system has not accepted completely, the oldest first. */
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
