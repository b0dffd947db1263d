import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import { ids } from '../../../src/application/eventLog/ids.ts'
import { genesis, link, storedChain } from '../../../src/domain/chain.ts'
import type { LifecycleEvent, NewEvent, StoredEvent } from '../../../src/domain/events.ts'
import { tokenStream, usageStream } from '../../../src/domain/streams.ts'
import { versions } from '../../../src/domain/upcast.ts'
import { expectedAfter, type Happened } from '../../integration/projections.reference.ts'

/**
 * A log that grows by commands and uses, with sound links, and the documents that the read model must hold after it.
 */
export interface History {
  tokens: string[]
  /** A creation, a change or a revocation. */
  command(): Promise<{ tokenId: string; events: LifecycleEvent[] }>
  use(): Promise<void>
  /** @returns the id of the token */
  create(name?: string): Promise<string>
  grow(events: number): Promise<void>
  /** Tokens, their history and usage, each sorted by id. */
  expected(): Promise<unknown>
}

const START = Date.UTC(2026, 0, 1)

export async function historyOn(store: EventStore): Promise<History> {
  const tokens: string[] = []
  const streams = new Map<string, { revision: number; chain: string; events: StoredEvent[] }>()
  let made = 0

  async function append(stream: string, type: NewEvent['type'], data: object): Promise<StoredEvent[]> {
    const tail = streams.get(stream) ?? { revision: -1, chain: genesis(stream), events: [] }
    const at = new Date(START + ++made * 60_000).toISOString()
    const metadata = {
      at,
      actor: { kind: 'jwt', id: 'acct_1' },
      requestId: 'r',
      correlationId: 'r',
      // Uses in the form of before are read as well, and their documents are the same.
      schemaVersion: type === 'TokenUsed' ? 1 : versions[type].current,
      chain: '',
    }
    const [event] = link(tail.chain, [{ id: ids.random(), type, data, metadata } as NewEvent])
    if (!event) throw new Error('no event')
    const { revision, position } = await store.append(
      stream,
      tail.revision < 0 ? 'no_stream' : tail.revision,
      [event],
    )
    tail.events.push({ ...event, stream, revision, position })
    streams.set(stream, { revision, chain: storedChain(event), events: tail.events })
    return tail.events
  }

  async function create(name = `token ${made}`): Promise<string> {
    const tokenId = ids.random()
    tokens.push(tokenId)
    await append(tokenStream(tokenId), 'TokenCreated', {
      tokenId,
      accountId: 'acct_1',
      name,
      hash: ids.digest(tokenId),
      hashKeyId: 'k1',
      hint: 'tkl_…abcd',
      scopes: [],
      expiresAt: null,
      description: null,
      metadata: {},
      allowedIps: null,
      rotatable: true,
    })
    return tokenId
  }

  const revoked = new Set<string>()

  async function command(): Promise<{ tokenId: string; events: LifecycleEvent[] }> {
    const known = tokens[made % Math.max(1, tokens.length)]
    let tokenId = known ?? ''
    if (made % 3 === 0 || known === undefined || revoked.has(known)) tokenId = await create()
    else if (made % 5 === 0) {
      revoked.add(known)
      await append(tokenStream(known), 'TokenRevoked', { reason: null })
    } else await append(tokenStream(known), 'TokenUpdated', { name: `changed ${made}` })
    const events = streams.get(tokenStream(tokenId))?.events ?? []
    return { tokenId, events: [...events] as LifecycleEvent[] }
  }

  async function use(): Promise<void> {
    const tokenId = tokens[(made * 7) % tokens.length] as string
    const at = new Date(START + made * 600_000).toISOString()
    const one = { tokenId, accountId: 'acct_1', firstAt: at, lastAt: at, tokenRevision: 0 }
    const by = { lastIp: null, lastUserAgent: null }
    const [orders, other] = [
      { method: 'GET', route: '/orders', count: 2 },
      { method: 'GET', route: `/r${made % 60}`, count: 1 },
    ]
    const stream = usageStream('history', at)
    // Half of them in the type of before, the other half with two entries for the same documents.
    if (made % 2 === 0) {
      const all = { count: 3, outcomes: { '2xx': 2, '4xx': 1 }, routes: [orders, other] }
      await append(stream, 'TokenUsed', { ...one, ...by, ...all })
      return
    }
    const entries = [
      { ...one, ...by, count: 2, outcomes: { '2xx': 2 }, routes: [orders], secret: 0 },
      { ...one, ...by, count: 1, outcomes: { '4xx': 1 }, routes: [other], secret: 2 },
    ]
    await append(stream, 'TokensUsed', { entries })
  }

  return {
    tokens,
    command,
    use,
    create,
    async grow(events) {
      if (tokens.length === 0) await create()
      for (let n = 0; n < events; n++) await (n % 4 === 0 ? command() : use())
    },
    async expected() {
      const log: Happened[] = []
      for await (const batch of store.readAll(null)) log.push(...(batch as unknown as Happened[]))
      const { tokens: rows, tokenHistory, tokenUsage } = expectedAfter(log)
      const sorted = (some: Record<string, unknown>[]) =>
        some.sort((a, b) => (String(a.id) < String(b.id) ? -1 : 1))
      return [sorted(rows), sorted(tokenHistory), sorted(tokenUsage)]
    },
  }
}
