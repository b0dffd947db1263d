import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../projections/projection.ts'
import { DamagedError } from '../domain/errors.ts'
import type { LifecycleEvent } from '../domain/events.ts'
import { type Difference, differencesOf, look } from './differences.ts'
import { readTokenEvents } from './load.ts'
import {
  type Document,
  type EventStore,
  type Logger,
  type ReadModel,
  StoreUnavailableError,
} from './ports.ts'

export interface SampleTelemetry {
  log: Pick<Logger, 'error' | 'warn'>
  /** Documents that were compared with their events. */
  checked(documents: number): void
  differed(documents: number): void
}

interface Deps {
  store: EventStore
  readModel: ReadModel
  projections: readonly Projection[]
  telemetry: SampleTelemetry
  everyMs: number
  /** 0 to 1. */
  random: () => number
}

export interface Sampler {
  stop(): Promise<void>
}

const LOOKS = 4
const AGAIN_MS = 1_000

/**
 * Compares one token's documents after the other with its events, for ever, from one picked at random on. Costs a few
 * indexed reads each time, so that authentication does not notice.
 */
export function startSampler(deps: Deps): Sampler {
  const { readModel, telemetry, everyMs } = deps
  const stopping = new AbortController()
  const { signal } = stopping
  let last: string | null = null

  async function next(): Promise<string | null> {
    last ??= await somewhere(readModel, deps.random)
    if (last === null) return null
    const where = [{ field: 'id', op: 'gt' as const, value: last }]
    const [found] = await readModel.find('tokens', { where, limit: 1 })
    const [first] = found ? [found] : await readModel.find('tokens', { where: [], limit: 1 })
    last = first?.id ?? null
    return last
  }

  async function sample(): Promise<void> {
    const tokenId = await next()
    if (tokenId === null) return
    const { documents, differences } = await checkToken(deps, tokenId, signal)
    telemetry.checked(documents)
    const differing = new Map(differences.map((one) => [`${one.collection}/${one.id}`, one]))
    telemetry.differed(differing.size)
    for (const { collection, id } of differing.values()) {
      telemetry.log.error({ collection, id }, 'a document of the read model is not what its events say')
    }
  }

  async function run(): Promise<void> {
    while (await sleep(everyMs, true, { signal, ref: false }).catch(() => false)) {
      await sample().catch((err: unknown) => {
        // An outage, or a stream whose damage the projector has reported: nothing to compare with.
        if (signal.aborted || err instanceof StoreUnavailableError || err instanceof DamagedError) return
        telemetry.log.warn({ err }, 'the read model could not be compared with its events')
      })
    }
  }

  const running = run()
  return {
    async stop() {
      stopping.abort()
      await running
    },
  }
}

/** An id between the first and the last there is; those of one kind begin with a time. */
async function somewhere(readModel: ReadModel, random: () => number): Promise<string | null> {
  const ends = await Promise.all(
    [false, true].map((descending) =>
      readModel.find('tokens', { where: [], order: { field: 'id', descending }, limit: 1 }),
    ),
  )
  const [low, high] = ends.map(([end]) =>
    Number.parseInt(String(end?.id).replaceAll('-', '').slice(0, 12), 16),
  )
  if (low === undefined || high === undefined || Number.isNaN(low)) return null
  const digits = Math.floor(low + random() * (high - low))
    .toString(16)
    .padStart(12, '0')
  return `${digits.slice(0, 8)}-${digits.slice(8)}`
}

/** What differs is read again with the events that have come since, before it is believed. */
export async function checkToken(
  { store, readModel, projections }: Pick<Deps, 'store' | 'readModel' | 'projections'>,
  tokenId: string,
  signal: AbortSignal,
  againMs = AGAIN_MS,
): Promise<{ documents: number; differences: Difference[] }> {
  for (let looks = 1; ; looks++) {
    const { events } = await readTokenEvents(store, tokenId)
    const expected = documentsOf(
      events.flatMap(({ known }) => known ?? []),
      projections,
    )
    const differences: Difference[] = []
    for (const { collection, document } of expected) {
      const found = await look(readModel, collection, document.id)
      differences.push(...differencesOf(collection, document.id, document, found, Object.keys(document)))
    }
    if (differences.length === 0 || looks === LOOKS) return { documents: expected.length, differences }
    await sleep(againMs, undefined, { signal })
  }
}

/** What one token's own events say of documents; counters are of other streams. */
function documentsOf(
  events: readonly LifecycleEvent[],
  projections: readonly Projection[],
): { collection: string; document: Document }[] {
  const documents = new Map<string, { collection: string; document: Document }>()
  for (const event of events) {
    for (const projection of projections) {
      if (!projection.events.includes(event.type)) continue
      for (const change of projection.project(event)) {
        if (change.kind === 'add') continue
        const { collection, id, fields } = change
        const key = `${collection}/${id}`
        const known = documents.get(key) ?? { collection, document: { id } }
        documents.set(key, known)
        if (change.kind === 'put' || Object.keys(known.document).length === 1) {
          Object.assign(known.document, fields)
        }
      }
    }
  }
  return [...documents.values()]
}
