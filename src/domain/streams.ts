import type { StoredEvent } from './events.ts'

export const TOKEN_STREAM = 'apiToken-'
export const USAGE_STREAM = 'tokenUsage-'
export const ROLLUP_STREAM = 'tokenUsageDaily-'
/** Who imports tokens of an older system, or did last. Never shortened. */
export const IMPORT_STREAM = 'tokenImport-lease'
/** What the names of the product's streams begin with. A log may hold others' too. */
export const STREAMS = [TOKEN_STREAM, USAGE_STREAM, ROLLUP_STREAM, 'tokenImport-'] as const

export const isOfToken = ({ stream }: Pick<StoredEvent, 'stream'>): boolean => stream.startsWith(TOKEN_STREAM)
export const tokenIdOf = (stream: string): string => stream.slice(TOKEN_STREAM.length)
export const tokenStream = (tokenId: string): string => TOKEN_STREAM + tokenId

/** One writer and one UTC day per stream: `instance` is unique per process start. */
export const usageStream = (instance: string, at: string): string =>
  `${USAGE_STREAM}${instance}_${at.slice(0, 10).replaceAll('-', '')}`

/** What the uses of one UTC day (`2026-11-22`) add up to. Never shortened. */
export const rollUpStream = (ofDay: string): string => ROLLUP_STREAM + ofDay.replaceAll('-', '')

/** Which days are rolled up, and how far. Never shortened. */
export const ROLLED_UP_DAYS = `${ROLLUP_STREAM}days`
