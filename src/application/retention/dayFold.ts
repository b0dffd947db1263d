import { applyChange, present, type StoredDocument } from '../../../projections/change.ts'
import type { AddChange } from '../../../projections/joined.ts'
import type { DocumentChange } from '../../../projections/projection.ts'
import { bucketOf, tokenUsage, type UsageDocument } from '../../../projections/tokenUsage.ts'
import type { EventData, RecordedEvent } from '../../domain/events.ts'

/**
 * Adds up the uses of one day in buckets, with the same projection and the same function that fill the read model. It
 * keeps as many tokens as there is room for in memory, the first ones by id. The others take another round.
 */
export interface DayFold {
  /** Takes what is rolled up already, in the order of the stream; for each bucket the newest counts. */
  base(event: RecordedEvent<'UsageRolledUp'>): void
  /** Takes the uses of this day, and ignores those of others in the same event. */
  use(event: RecordedEvent<'TokensUsed' | 'TokenUsed'>): void
  /** The roll-ups of tokens with a use, ordered by id, in events that are small enough for any store. */
  rolledUp(): Generator<EventData<'UsageRolledUp'>, void, undefined>
  /** The last token that there was room for; null if there was room for all. */
  last(): string | null
}

interface Token {
  accountId: string
  documents: Map<string, StoredDocument>
  used: boolean
}

/** How many buckets and routes are kept in memory, which takes some 50 MB. */
const MAX_SIZE = 100_000
const BYTES_PER_EVENT = 256 * 1024

/** @param above takes only tokens with higher ids, since the others were in an earlier round */
export function createDayFold(day: string, above: string, maxSize = MAX_SIZE): DayFold {
  const tokens = new Map<string, Token>()
  /** The first token that there was no room for. */
  let below: string | null = null
  let size = 0

  function tokenOf({ tokenId, accountId }: { tokenId: string; accountId: string }): Token | null {
    if (tokenId <= above || (below !== null && tokenId >= below)) return null
    const token = tokens.get(tokenId) ?? { accountId, documents: new Map(), used: false }
    tokens.set(tokenId, token)
    return token
  }

  function makeRoom(): void {
    if (size <= maxSize || tokens.size === 1) return
    const ids = [...tokens.keys()].sort()
    const dropped = ids.slice(Math.max(1, Math.floor(ids.length * 0.75)))
    below = dropped[0] ?? below
    for (const id of dropped) {
      for (const document of tokens.get(id)?.documents.values() ?? []) size -= sizeOf(document)
      tokens.delete(id)
    }
  }

  function add(token: Token, change: DocumentChange): void {
    token.used = true
    const before = token.documents.get(change.id)
    const document = before ?? {}
    if (before) size -= sizeOf(before)
    applyChange(document, change, !before)
    size += sizeOf(document)
    token.documents.set(change.id, document)
  }

  return {
    base(event) {
      const token = tokenOf(event.data)
      if (!token) return
      for (const change of tokenUsage.project(event)) {
        const document: StoredDocument = {}
        applyChange(document, change, true)
        // The position goes, since uses that the roll-up does not count yet may stand before it in the log.
        delete document._position
        const before = token.documents.get(change.id)
        size += sizeOf(document) - (before ? sizeOf(before) : 0)
        token.documents.set(change.id, document)
      }
      makeRoom()
    },

    use(event) {
      for (const change of tokenUsage.project(event)) {
        const { tokenId, accountId, at } = (change as AddChange).set as Pick<
          UsageDocument,
          'tokenId' | 'accountId' | 'at'
        >
        if (!at.startsWith(day)) continue
        const token = tokenOf({ tokenId, accountId })
        if (token) add(token, change)
      }
      makeRoom()
    },

    *rolledUp() {
      for (const tokenId of [...tokens.keys()].sort()) {
        const token = tokens.get(tokenId)
        if (!token?.used) continue
        const { accountId, documents } = token
        const ids = [...documents.keys()].sort()
        const buckets = ids.map((id) => bucketOf(present<UsageDocument>(id, documents.get(id) ?? {})))
        for (const piece of piecesOf(buckets)) yield { tokenId, accountId, day, buckets: piece }
      }
    },

    last: () => (below === null ? null : ([...tokens.keys()].sort().at(-1) ?? null)),
  }
}

const sizeOf = ({ routes }: StoredDocument): number => 1 + Object.keys(routes ?? {}).length

type Bucket = EventData<'UsageRolledUp'>['buckets'][number]

/** Splits a day into several events where needed: 24 hours of 50 long routes each are more than an append may have. */
function piecesOf(buckets: readonly Bucket[]): Bucket[][] {
  const pieces: Bucket[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const bucket of buckets) {
    const more = Buffer.byteLength(JSON.stringify(bucket))
    bytes += more
    if (bytes > BYTES_PER_EVENT) {
      pieces.push([])
      bytes = more
    }
    pieces.at(-1)?.push(bucket)
  }
  return pieces
}
