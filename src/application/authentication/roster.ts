import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { DocumentReader } from '../ports/readModel.ts'

/**
 * Which tokens there are, by a piece of their hash: how a good one that nobody has used here yet is told from what a
 * flood brings, without asking for each. It is filled when it is first needed, and then told of what changes.
 */
export interface Roster {
  /** Is there a token with one of these hashes that is not revoked? */
  has(hashes: readonly string[]): boolean | Promise<boolean>
  /** It was looked up and is not good. */
  remove(hashes: readonly string[]): void
  /** These may be new, null: any may. */
  changed(tokenIds: ReadonlySet<string> | null): void
  size(): number
}

const PAGE = 250
/** As many ids of changed tokens are kept; beyond, all tokens are looked at again. */
const CHANGED_CAP = 10_000
/** From the end of one look to the next, in milliseconds: at some, and at all tokens. */
const PAUSE_MS = { some: 100, all: 10_000 }
/** Older changes are waited for. Under a flood, which asks all the time, none are. */
const OLD_MS = 250
/** How long a request waits for a look. A long one goes on, and what it has found by then counts. */
const PATIENCE_MS = 1_000

/** @param now monotonic milliseconds */
export function createRoster(
  readModel: Pick<DocumentReader, 'find'>,
  now: () => number = performance.now.bind(performance),
): Roster {
  let prints: Prints | null = null
  /** All have been looked at, but for those that changed since. */
  let isComplete = false
  const changed = new Set<string>()
  let changedSince = 0
  let looking: Promise<void> | null = null
  /** When the last look of each kind ended that did not fail. */
  const lookedAt = { some: Number.NEGATIVE_INFINITY, all: Number.NEGATIVE_INFINITY }

  async function lookAtAll(): Promise<void> {
    const found = createPrints()
    // What changes meanwhile is looked at once more, in the new ones; until they are filled the old ones count.
    isComplete = true
    changed.clear()
    prints ??= found
    for (let last = ''; ; ) {
      const after = last === '' ? {} : { after: { value: last, id: last } }
      const page = await readModel.find('tokens', { where: [], limit: PAGE, ...after })
      for (const { hash, revokedAt } of page) if (revokedAt === null) found.add(String(hash))
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
    const found = await readModel.find('tokens', { where, limit: ids.length })
    for (const { hash, revokedAt } of found) if (revokedAt === null) prints?.add(String(hash))
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

  /** One at a time, and not all the time. */
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

// --- Pieces of hashes ----------------------------------------------------------------------------------------------

interface Prints {
  add(hash: string): void
  has(hash: string): boolean
  remove(hash: string): void
  size(): number
}

/** 8 MiB, for a million tokens: beyond that half of the places are taken, and no more are added. */
const PLACES = 2 ** 21
const MOST = PLACES / 2
const EMPTY = 0
const GONE = 1

/**
 * 32 bits of each hash at a place that 24 others name. Nobody can choose a token that is taken for another: the hashes
 * are keyed, or those of tokens that one would have to know.
 */
function createPrints(): Prints {
  const places = new Uint32Array(PLACES)
  let taken = 0

  const printOf = (hash: string): number => Math.max(Number.parseInt(hash.slice(6, 14), 16), GONE + 1)

  /** Where it is, or the empty place where it would be. */
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
