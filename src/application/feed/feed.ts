import { setTimeout as sleep } from 'node:timers/promises'
import { type HistoryDocument, tokenHistory } from '../../../projections/tokenHistory.ts'
import type { StoredEvent } from '../../domain/events.ts'
import type { Condition } from '../ports/documents.ts'
import type { DocumentReader, ProjectionTarget } from '../ports/readModel.ts'

/** Sorts before every position. */
export const BEGINNING = '0'

/** Has the text the form of a position, of whatever event store? */
export const isPosition = (text: string): boolean => /^\d{1,20}(-\d{1,20})?$/.test(text)

/**
 * Have two positions the form of one event store, in which all are equally long? They cannot be compared otherwise, and
 * nothing would ever come behind one of another store.
 */
export const areOfOneStore = (a: string, b: string): boolean =>
  a === BEGINNING || b === BEGINNING || a.length === b.length

export interface FeedQuery {
  /** Null: the events of all accounts. */
  accountId: string | null
  /** A position. The events behind it are read. */
  after: string
  /** Null: of all types. */
  types: ReadonlySet<string> | null
  limit: number
}

export interface FeedPage {
  /** In the order of the log. */
  data: HistoryDocument[]
  /** From where to read on: the position of the last event that was looked at. As `after` was, if there was none. */
  next: string
  /** The position up to which all events could be read. */
  end: string
}

export interface Feed {
  /**
   * Events of tokens' lives, each once it is certain that none will appear before it. What this process has written is
   * there.
   * @throws StoreUnavailableError, DamagedError
   */
  read(query: FeedQuery, signal?: AbortSignal): Promise<FeedPage>
  /** Some of the events of one token, from a revision on. They may lie behind `end()`. Throws as `read`. */
  ofToken(tokenId: string, fromRevision: number): Promise<HistoryDocument[]>
  /** The position up to which all events can be read. @throws StoreUnavailableError */
  end(): Promise<string>
  /** To be called with the events that this process has written, once they are applied. */
  applied(events: readonly StoredEvent[]): void
}

/** How many events are read at once, and how many one page looks at, if most of them are of other types. */
const READ = 500
const LOOKED_AT = 5_000
const READ_OF_TOKEN = 20
/** How long to wait until the end has come to an event of this process, and how often to look, in milliseconds. */
const WAIT = { longestMs: 1_000, everyMs: 10 }
/** Sorts behind every id, so that reading goes on behind the document at a position. */
const AFTER_ANY_ID = '~'

/**
 * The feed is made of the histories of the read model. Commands apply their own events at once, and so not in the order
 * of the log. Only the checkpoint says how far nothing is missing.
 */
export function createFeed(
  readModel: Pick<DocumentReader, 'find'> & Pick<ProjectionTarget, 'checkpoint'>,
): Feed {
  /** The position of the newest event that this process has written. */
  let written = BEGINNING

  const checkpoint = async (): Promise<string> =>
    (await readModel.checkpoint(tokenHistory))?.position ?? BEGINNING

  async function end(): Promise<string> {
    const started = performance.now()
    const goal = written
    for (;;) {
      const position = await checkpoint()
      // Where this takes longer, nobody follows the log now, and later pages have what is missing.
      if (position >= goal || performance.now() - started > WAIT.longestMs) return position
      await sleep(WAIT.everyMs)
    }
  }

  async function some(
    accountId: string | null,
    after: string,
    limit: number,
    signal?: AbortSignal,
  ): Promise<HistoryDocument[]> {
    const where: Condition[] = accountId === null ? [] : [{ field: 'accountId', op: 'eq', value: accountId }]
    const query = { where, order: { field: 'position' }, after: { value: after, id: AFTER_ANY_ID }, limit }
    return (await readModel.find('tokenHistory', query, signal)) as unknown as HistoryDocument[]
  }

  return {
    end,

    async read({ accountId, after, types, limit }, signal) {
      const upTo = await end()
      const data: HistoryDocument[] = []
      let next = after
      for (let lookedAt = 0; lookedAt < LOOKED_AT; ) {
        const size = types ? READ : limit - data.length
        const found = await some(accountId, next, size, signal)
        for (const event of found) {
          if (event.position > upTo || data.length === limit) return { data, next, end: upTo }
          next = event.position
          if (!types || types.has(event.type)) data.push(event)
        }
        lookedAt += found.length
        if (found.length < size || data.length === limit) break
      }
      return { data, next, end: upTo }
    },

    async ofToken(tokenId, fromRevision) {
      const where: Condition[] = [{ field: 'tokenId', op: 'eq', value: tokenId }]
      const after = { value: fromRevision - 1, id: AFTER_ANY_ID }
      const query = { where, order: { field: 'revision' }, after, limit: READ_OF_TOKEN }
      return (await readModel.find('tokenHistory', query)) as unknown as HistoryDocument[]
    },

    applied(events) {
      const last = events.at(-1)?.position ?? BEGINNING
      if (last > written) written = last
    },
  }
}
