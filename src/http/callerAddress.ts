import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { type Block, canonicalAddress, isInside } from '../domain/address.ts'

/** Which part of `X-Forwarded-For` is believed. */
export interface TrustedProxies {
  /**
   * The number of proxies in front. Each of them adds the address that it was asked from. 0: the header is not read.
   */
  hops: number
  /** Only peers with one of these addresses are believed to be proxies. Null: every peer is. */
  from: readonly Block[] | null
}

export type CallerAddress = (request: IncomingMessage) => string | null

/**
 * The address that a request came from, in its canonical form; null if there is none. Koa's `ctx.ip` is never asked: in
 * an app whose `proxy` is on, a caller can write it.
 */
export function callerAddress({ hops, from }: TrustedProxies): CallerAddress {
  return (request) => {
    const peer = peerOf(request.socket)
    if (hops === 0 || (from !== null && (peer === null || !isInside(from, peer)))) return peer
    const entry = fromTheRight(forwardedFor(request), hops)
    return entry === null ? null : canonicalAddress(entry.trim())
  }
}

/** The address of each connection. It is kept here, since a connection that has ended does not know it any more. */
const peers = new WeakMap<Socket, string | null>()

function peerOf(socket: Socket): string | null {
  const known = peers.get(socket)
  if (known !== undefined) return known
  // If an address is valid on one link only, Node adds the network interface to it.
  const peer = canonicalAddress((socket.remoteAddress ?? '').replace(/%.*/, ''))
  peers.set(socket, peer)
  return peer
}

/** Fields that come several times form one list, in their order. */
function forwardedFor({ headers }: IncomingMessage): string {
  const value = headers['x-forwarded-for'] ?? ''
  return Array.isArray(value) ? value.join(',') : value
}

/** The nth entry of a list, counted from its end; null if there are fewer. It does not look at more of the list. */
function fromTheRight(list: string, n: number): string | null {
  let end = list.length
  for (let i = 1; i < n; i++) {
    end = list.lastIndexOf(',', end - 1)
    if (end <= 0) return null
  }
  const start = list.lastIndexOf(',', end - 1)
  return list.slice(start + 1, end)
}
