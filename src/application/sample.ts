import { setTimeout as sleep } from 'node:timers/promises'
import type { Change, Projection } from '../../projections/projection.ts'
import { DamagedError } from '../domain/errors.ts'
import { createChanges } from './changes.ts'
import { type Difference, differencesOf, look } from './differences.ts'
import { tokenEvents } from './load.ts'
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
    const found = await differencesNow({ store, readModel, projections }, tokenId, signal)
    if (found.differences.length === 0 || looks === LOOKS) return found
    await sleep(againMs, undefined, { signal })
  }
}

type Checked = Awaited<ReturnType<typeof checkToken>>

/** A stream may be long: of its events and rows a page is in memory, and the loop is left to others in between. */
async function differencesNow(
  { store, readModel, projections }: Pick<Deps, 'store' | 'readModel' | 'projections'>,
  tokenId: string,
  signal: AbortSignal,
): Promise<Checked> {
  const checked: Checked = { documents: 0, differences: [] }
  const changesOf = createChanges(projections, SILENT)
  /** Documents that later events add to. */
  const growing = new Map<string, Expected>()

  async function compare({ collection, document }: Expected): Promise<void> {
    const found = await look(readModel, collection, document.id)
    checked.documents++
    checked.differences.push(
      ...differencesOf(collection, document.id, document, found, Object.keys(document)),
    )
  }

  for await (const events of tokenEvents(store, tokenId)) {
    signal.throwIfAborted()
    const stored = events.map((event) => event.stored)
    const { changes } = changesOf(
      stored,
      stored.map(() => null),
    )
    for (const row of expectedOf(changes, growing)) await compare(row)
  }
  for (const document of growing.values()) await compare(document)
  return checked
}

/** The projector has said it. */
const SILENT = { damaged() {}, log: { debug() {}, info() {}, warn() {}, error() {} } }

interface Expected {
  collection: string
  document: Document
}

/**
 * What one token's own events say of documents; counters are of other streams.
 * @param growing gets those that several events make up
 * @returns those that are complete
 */
function expectedOf(changes: readonly Change[], growing: Map<string, Expected>): Expected[] {
  const rows: Expected[] = []
  for (const change of changes) {
    if (change.kind !== 'insert' && change.kind !== 'put') continue
    const { collection, id, fields } = change
    const key = `${collection}/${id}`
    const known = growing.get(key) ?? { collection, document: { id } }
    Object.assign(known.document, fields)
    if (change.kind === 'insert') rows.push(known)
    else growing.set(key, known)
  }
  return rows
}
