import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { type Block, canonicalAddress, isInside } from '../domain/address.ts'

/** Which part of `X-Forwarded-For` is believed. */
export interface TrustedProxies {
  /** How many proxies stand in front, each of which adds the address it was asked from. 0: the header is not read. */
  hops: number
  /** Null: whoever connects is such a proxy. Otherwise only who connects from one of these is. */
  from: readonly Block[] | null
}

export type CallerAddress = (request: IncomingMessage) => string | null

/**
 * The address that a request came from, in its one form; null where there is none. Never Koa's `ctx.ip`, which a caller
 * can write in an app whose `proxy` is on.
 */
export function callerAddress({ hops, from }: TrustedProxies): CallerAddress {
  return (request) => {
    const peer = peerOf(request.socket)
    if (hops === 0 || (from !== null && (peer === null || !isInside(from, peer)))) return peer
    const entry = fromTheRight(forwardedFor(request), hops)
    return entry === null ? null : canonicalAddress(entry.trim())
  }
}

/** Where each connection comes from: a connection that has ended does not know any more. */
const peers = new WeakMap<Socket, string | null>()

function peerOf(socket: Socket): string | null {
  const known = peers.get(socket)
  if (known !== undefined) return known
  // Node adds the network interface to an address that is good on one link only.
  const peer = canonicalAddress((socket.remoteAddress ?? '').replace(/%.*/, ''))
  peers.set(socket, peer)
  return peer
}

/** Fields that come several times are one list, in their order. */
function forwardedFor({ headers }: IncomingMessage): string {
  const value = headers['x-forwarded-for'] ?? ''
  return Array.isArray(value) ? value.join(',') : value
}

/** The nth entry of a list counted from its end, without looking at more of it; null where there are not as many. */
function fromTheRight(list: string, n: number): string | null {
  let end = list.length
  for (let i = 1; i < n; i++) {
    end = list.lastIndexOf(',', end - 1)
    if (end <= 0) return null
  }
  const start = list.lastIndexOf(',', end - 1)
  return list.slice(start + 1, end)
}
