import type { DocumentChange, Top, Value } from './projection.ts'

/**
 * A document as it is stored, with what its guards need: `_revisions` holds the stream revision that set each field,
 * `_position` the log position of the last `add` or `total`.
 */
export type StoredDocument = Record<string, unknown>

type Put = Extract<DocumentChange, { kind: 'put' }>
type Add = Extract<DocumentChange, { kind: 'add' }>
type Total = Extract<DocumentChange, { kind: 'total' }>
type Latest = Extract<DocumentChange, { kind: 'latest' }>

/**
 * Applies one change to a document in place, under its guard.
 * @param isNew there is no such document yet
 * @returns whether anything changed
 */
export function applyChange(document: StoredDocument, change: DocumentChange, isNew: boolean): boolean {
  switch (change.kind) {
    case 'put':
      return put(document, change)
    case 'add':
      return add(document, change)
    case 'total':
      return total(document, change)
    case 'latest':
      return latest(document, change)
    case 'insert':
      if (!isNew) return false
      setAll(document, change.fields)
      return true
    case 'replace':
      for (const field of Object.keys(document)) delete document[field]
      setAll(document, change.fields)
      return true
  }
}

/** The document as readers get it, without what its guards need. */
export function present<T extends { id: string }>(id: string, document: StoredDocument): T {
  const shown: Record<string, unknown> = { id }
  for (const field of Object.keys(document)) if (!field.startsWith('_')) shown[field] = document[field]
  return shown as T
}

function put(document: StoredDocument, { fields, revision }: Put): boolean {
  const revisions = child(document, '_revisions')
  let changed = false
  for (const [field, value] of Object.entries(fields)) {
    if (value === undefined || revision <= (own<number>(revisions, field) ?? -1)) continue
    set(document, field, value)
    set(revisions, field, revision)
    changed = true
  }
  return changed
}

function add(document: StoredDocument, change: Add): boolean {
  if (change.position <= (own<string>(document, '_position') ?? '')) return false
  document._position = change.position
  if (change.set) setAll(document, change.set)
  const { sum = NONE, min = NONE, max = NONE } = change
  for (const path of Object.keys(sum)) {
    const [parent, field] = place(document, path)
    increase(parent, field, sum[path] as number)
  }
  for (const path of Object.keys(min)) {
    const [parent, field] = place(document, path)
    const [value, least] = [min[path] as string, own<string | null>(parent, field) ?? null]
    if (least === null || value < least) set(parent, field, value)
  }
  for (const path of Object.keys(max)) {
    const [parent, field] = place(document, path)
    const [value, most] = [max[path] as string, own<string | null>(parent, field) ?? null]
    if (most === null || value > most) set(parent, field, value)
  }
  for (const top of change.top ?? NOTHING) increaseTop(child(document, top.field), top)
  return true
}

function total(document: StoredDocument, { position, by, fields }: Total): boolean {
  const isLater = position > (own<string>(document, '_position') ?? '')
  if (!isLater || Number(fields[by]) <= (own<number>(document, by) ?? 0)) return false
  document._position = position
  // A copy, since the next `add` counts on in it, and must not change the event that it came from.
  setAll(document, structuredClone(fields))
  return true
}

function latest(document: StoredDocument, { field, value }: Latest): boolean {
  if (value <= (own<string>(document, field) ?? '')) return false
  set(document, field, value)
  return true
}

/** A known key counts on. A new key is added while there is room; after that it counts as `other`. */
function increaseTop(counters: StoredDocument, { cap, other, counts }: Top): void {
  for (const [key, count] of counts) {
    const enters = Object.hasOwn(counters, key) || hasRoom(counters, cap, other)
    increase(counters, enters ? key : other, count)
  }
}

const hasRoom = (counters: StoredDocument, cap: number, other: string): boolean =>
  Object.keys(counters).length - (Object.hasOwn(counters, other) ? 1 : 0) < cap

const increase = (counters: StoredDocument, key: string, amount: number): void =>
  set(counters, key, (own<number>(counters, key) ?? 0) + amount)

const NOTHING: [] = []
const NONE: Record<string, never> = {}

function setAll(document: StoredDocument, fields: Record<string, Value>): void {
  for (const field of Object.keys(fields)) {
    const value = fields[field]
    if (value !== undefined) set(document, field, value)
  }
}

/** The object and the field that a dotted path leads to. Objects on the way are made if they are missing. */
function place(document: StoredDocument, path: string): [parent: StoredDocument, field: string] {
  let [parent, start] = [document, 0]
  for (let dot = path.indexOf('.'); dot >= 0; dot = path.indexOf('.', start)) {
    parent = child(parent, path.slice(start, dot))
    start = dot + 1
  }
  return [parent, start === 0 ? path : path.slice(start)]
}

function child(parent: StoredDocument, field: string): StoredDocument {
  const there = own<StoredDocument>(parent, field)
  if (typeof there === 'object' && there !== null) return there
  const made: StoredDocument = {}
  set(parent, field, made)
  return made
}

// Keys come from requests, and a route may be called `__proto__`. So only own members are read and written.

const own = <T>(object: StoredDocument, field: string): T | undefined =>
  Object.hasOwn(object, field) ? (object[field] as T) : undefined

function set(object: StoredDocument, field: string, value: unknown): void {
  if (field !== '__proto__') object[field] = value
  else Object.defineProperty(object, field, { value, writable: true, enumerable: true, configurable: true })
}
