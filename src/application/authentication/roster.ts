import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { Document } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'

/**
 * Remembers which tokens exist, by a piece of their hash. So a good token that was not used here yet can be told from
 * the bad ones of a flood without asking the store for each. It is filled at the first need, and then updated by
 * changes.
 */
export interface Roster {
  /** Is there a token with one of these hashes that is not revoked? */
  has(hashes: readonly string[]): boolean | Promise<boolean>
  /** Forgets a token that was looked up and is not good. */
  remove(hashes: readonly string[]): void
  /** These tokens may be new. Null: any token may be new. */
  changed(tokenIds: ReadonlySet<string> | null): void
  size(): number
}

const PAGE = 250
/** At most this many ids of changed tokens are kept. Beyond that, all tokens are read again. */
const CHANGED_CAP = 10_000
/** The pause between two reads of changed tokens (`some`), and of all tokens (`all`), in milliseconds. */
const PAUSE_MS = { some: 100, all: 10_000 }
/**
 * Requests wait until changes that are older than this (milliseconds) have been read. During a flood, which asks all
 * the time, there are no such changes.
 */
const OLD_MS = 250
/**
 * How long a request waits for a read, in milliseconds. A longer read continues, and what it has found by then is used.
 */
const PATIENCE_MS = 1_000

/** @param now monotonic milliseconds */
export function createRoster(
  readModel: Pick<DocumentReader, 'find'>,
  now: () => number = performance.now.bind(performance),
): Roster {
  let prints: Prints | null = null
  /** Have all tokens been read, except for those that changed since? */
  let isComplete = false
  const changed = new Set<string>()
  let changedSince = 0
  let looking: Promise<void> | null = null
  /** When the last successful read of each kind ended. */
  const lookedAt = { some: Number.NEGATIVE_INFINITY, all: Number.NEGATIVE_INFINITY }

  async function lookAtAll(): Promise<void> {
    const found = createPrints()
    // Tokens that change meanwhile are read once more, into the new prints. The old ones are used until the new ones
    // are filled.
    isComplete = true
    changed.clear()
    prints ??= found
    for (let last = ''; ; ) {
      const after = last === '' ? {} : { after: { value: last, id: last } }
      const page = await readModel.find('tokens', { where: [], limit: PAGE, ...after })
      for (const token of page) addTo(found, token)
      if (page.length < PAGE) break
      last = page.at(-1)?.id ?? ''
      await nextTurn()
    }
    prints = found
  }

  async function lookAtChanged(): Promise<void> {
    const ids = [...changed].slice(0, PAGE)
    changedSince = now()
    const where = [{ field: 'id', op: 'in' as const, value: ids }]
    const found = await readModel.find('tokens', { where, order: 'any', limit: ids.length })
    for (const token of found) addTo(prints, token)
    for (const id of ids) changed.delete(id)
  }

  async function lookAt(kind: 'some' | 'all'): Promise<void> {
    try {
      await (kind === 'some' ? lookAtChanged() : lookAtAll())
      lookedAt[kind] = now()
    } catch {
      if (kind === 'all') isComplete = false
    } finally {
      looking = null
    }
  }

  /** One read at a time, with pauses. */
  function look(): Promise<void> {
    const kind = isComplete ? 'some' : 'all'
    if (!looking && now() < lookedAt[kind] + PAUSE_MS[kind]) return Promise.resolve()
    looking ??= lookAt(kind)
    return looking
  }

  return {
    has(hashes) {
      const isThere = () => hashes.some((hash) => prints?.has(hash))
      if (isThere() || (isComplete && changed.size === 0 && !looking)) return isThere()
      const isFirst = lookedAt.all === Number.NEGATIVE_INFINITY
      const isWaitedFor = isFirst || now() - changedSince >= OLD_MS
      const done = look()
      if (!isWaitedFor) return false
      return Promise.race([done, sleep(PATIENCE_MS, undefined, { ref: false })]).then(isThere)
    },
    remove(hashes) {
      for (const hash of hashes) prints?.remove(hash)
    },
    changed(tokenIds) {
      if (!prints) return
      if (isComplete && changed.size === 0) changedSince = now()
      for (const id of tokenIds ?? []) changed.add(id)
      if (tokenIds === null || changed.size > CHANGED_CAP) isComplete = false
    },
    size: () => prints?.size() ?? 0,
  }
}

/** Adds the hashes of a token that is not revoked. */
function addTo(prints: Prints | null, { hash, newerHash, revokedAt }: Document): void {
  if (revokedAt !== null) return
  for (const one of [hash, newerHash]) if (typeof one === 'string') prints?.add(one)
}

// --- Pieces of hashes ----------------------------------------------------------------------------------------------

interface Prints {
  add(hash: string): void
  has(hash: string): boolean
  remove(hash: string): void
  size(): number
}

/** 8 MiB, for a million tokens. Half of the places are used then, and no more are added. */
const PLACES = 2 ** 21
const MOST = PLACES / 2
const EMPTY = 0
const GONE = 1

/**
 * Keeps 32 bits of each hash, at a place that is given by 24 other bits. Nobody can choose a token that is taken for
 * another one: the hashes are keyed, or one would have to know the other token.
 */
function createPrints(): Prints {
  const places = new Uint32Array(PLACES)
  let taken = 0

  const printOf = (hash: string): number => Math.max(Number.parseInt(hash.slice(6, 14), 16), GONE + 1)

  /** The place of the print, or the empty place where it belongs. */
  function placeOf(hash: string, print: number): number {
    let place = Number.parseInt(hash.slice(0, 6), 16) % PLACES
    while (places[place] !== EMPTY && places[place] !== print) place = (place + 1) % PLACES
    return place
  }

  return {
    add(hash) {
      const print = printOf(hash)
      const place = placeOf(hash, print)
      if (places[place] === print || taken === MOST) return
      places[place] = print
      taken++
    },
    has: (hash) => places[placeOf(hash, printOf(hash))] !== EMPTY,
    remove(hash) {
      const place = placeOf(hash, printOf(hash))
      if (places[place] !== EMPTY) places[place] = GONE
    },
    size: () => taken,
  }
}
