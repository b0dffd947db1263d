import { hash } from 'node:crypto'
import type { StoredEvent } from './events.ts'

type Chained = Pick<StoredEvent, 'id' | 'type' | 'data' | 'metadata'>

/** JSON with sorted keys and no white space, so that equal values have equal text. */
export function canonical(value: unknown): string {
  if (typeof value === 'string') return PLAIN.test(value) ? `"${value}"` : JSON.stringify(value)
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  return object(value as Record<string, unknown>)
}

/** Text that is the same in JSON, between quotes. */
const PLAIN = /^[ !#-[\]-~]*$/

/** This is a loop without lists of pairs for the sake of speed: it runs for each event that is read. */
function object(value: Record<string, unknown>, without?: string): string {
  let members = ''
  for (const key of sortedKeys(value)) {
    const member = value[key]
    if (member === undefined || key === without) continue
    members += `${members === '' ? '' : ','}${canonical(key)}:${canonical(member)}`
  }
  return `{${members}}`
}

/** In the order of `sort`. Nearly all objects have few keys, and for those this is faster than `sort`. */
function sortedKeys(value: Record<string, unknown>): string[] {
  const keys = Object.keys(value)
  if (keys.length > FEW) return keys.sort()
  for (let n = 1; n < keys.length; n++) {
    const key = keys[n] as string
    let at = n
    for (; at > 0 && (keys[at - 1] as string) > key; at--) keys[at] = keys[at - 1] as string
    keys[at] = key
  }
  return keys
}

const FEW = 20

/**
 * The chain before the first event of a stream: the stream's name, so that an event cannot be moved to another stream.
 */
export const genesis = (stream: string): string => stream

/**
 * The tamper-evident link of an event to the one before it in its stream: SHA-256, in lower-case hex, over the
 * previous chain and the canonical form of this event's id, type, data and metadata (without `chain` itself).
 */
export function chainOf(previous: string, { id, type, data, metadata }: Chained): string {
  const rest = object((metadata ?? {}) as Record<string, unknown>, 'chain')
  const body = `{"data":${canonical(data)},"id":${canonical(id)},"metadata":${rest},"type":${canonical(type)}}`
  return hash('sha256', `${previous}\n${body}`)
}

/** Does the event's own `chain` follow from `previous`? */
export const isLinked = (previous: string, event: Chained): boolean =>
  storedChain(event) === chainOf(previous, event)

export const storedChain = (event: Pick<StoredEvent, 'metadata'>): string =>
  (event.metadata as { chain?: string } | null)?.chain ?? ''

/** Links new events to the end of a stream, in order. */
export function link<E extends Chained>(previous: string, events: readonly E[]): E[] {
  let chain = previous
  return events.map((event) => {
    chain = chainOf(chain, event)
    return { ...event, metadata: { ...(event.metadata as object), chain } }
  })
}
