import type { StoredEvent } from './events.ts'

export const TOKEN_STREAM = 'apiToken-'
export const USAGE_STREAM = 'tokenUsage-'
export const ROLLUP_STREAM = 'tokenUsageDaily-'
/** Holds who imports tokens of an older system, or did so last. Never shortened. */
export const IMPORT_STREAM = 'tokenImport-lease'
/** Each holds the one event that says that a link to the page was used. Never shortened. */
const PORTAL_STREAM = 'portalSession-'
/** The beginnings of the names of this product's streams. A log may hold streams of others, too. */
export const STREAMS = [TOKEN_STREAM, USAGE_STREAM, ROLLUP_STREAM, 'tokenImport-', PORTAL_STREAM] as const

/**
 * Signals of processes to each other: no part of any fact. Only the newest events of them are kept, so they are projected,
 * exported and audited by nobody.
 */
export const HEARTBEAT_STREAM = 'heartbeat-'
/** Which processes write to this event store, and which of them does what one alone may do. */
export const LEASE_STREAM = 'eventStore-lease'
/** How far somebody was told of what happens to tokens: one stream for each of those who are told. */
export const DELIVERY_STREAM = 'delivery-'
/** With which keys the hashes in this event store were made. A copy of the log in another store has its own. */
export const PEPPER_STREAM = 'eventStore-peppers'
export const SIGNAL_STREAMS = [HEARTBEAT_STREAM, LEASE_STREAM, DELIVERY_STREAM, PEPPER_STREAM]

export const isSignal = ({ stream }: Pick<StoredEvent, 'stream'>): boolean =>
  SIGNAL_STREAMS.some((prefix) => stream.startsWith(prefix))
/** One writer: `instance` is unique per process start. */
export const heartbeatStream = (instance: string): string => HEARTBEAT_STREAM + instance

export const isOfToken = ({ stream }: Pick<StoredEvent, 'stream'>): boolean => stream.startsWith(TOKEN_STREAM)
export const isPortal = ({ stream }: Pick<StoredEvent, 'stream'>): boolean => stream.startsWith(PORTAL_STREAM)
export const tokenIdOf = (stream: string): string => stream.slice(TOKEN_STREAM.length)
export const portalStream = (sessionId: string): string => PORTAL_STREAM + sessionId
export const tokenStream = (tokenId: string): string => TOKEN_STREAM + tokenId

/** Each stream has one writer and one UTC day: `instance` is unique for each start of a process. */
export const usageStream = (instance: string, at: string): string =>
  `${USAGE_STREAM}${instance}_${at.slice(0, 10).replaceAll('-', '')}`

/** Holds the sums of the uses of one UTC day (`2026-11-22`). Never shortened. */
export const rollUpStream = (ofDay: string): string => ROLLUP_STREAM + ofDay.replaceAll('-', '')

/** Holds which days are rolled up, and how far. Never shortened. */
export const ROLLED_UP_DAYS = `${ROLLUP_STREAM}days`
